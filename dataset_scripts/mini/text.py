"""The sentences of the mini data set: templates in four languages and the names that fill them.

Templates stand in groups of four lines, one per language in the order of `MINI_LANGUAGES`. Words are split at spaces.
{X} and {Y} are names that could be of any type; no word around them agrees with a gender or calls for a person, a
place or a thing. {PER}, {LOC}, {ORG} and {MISC} are names of a known type, {TIME} is a time and no entity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MINI_LANGUAGES = ("en", "fr", "es", "de")
MINI_TYPES = ("PER", "LOC", "ORG", "MISC")
AMBIGUOUS_SLOTS = ("{X}", "{Y}")
Words = dict[str, tuple[str, ...]]


def _groups(text: str) -> list[Words]:
    lines = [tuple(line.split()) for line in text.split("\n") if line]
    return [
        dict(zip(MINI_LANGUAGES, lines[i : i + len(MINI_LANGUAGES)], strict=True))
        for i in range(0, len(lines), len(MINI_LANGUAGES))
    ]


def _names(text: str) -> list[Words]:
    """Read one name a line, with `/` between its forms when the languages differ."""
    forms = [[tuple(form.split()) for form in line.split("/")] for line in text.split("\n") if line]
    return [
        dict(zip(MINI_LANGUAGES, form if len(form) > 1 else form * len(MINI_LANGUAGES), strict=True)) for form in forms
    ]


ONE_NAME = _groups("""
Everyone is talking about {X} today .
Aujourd'hui , {X} est dans toutes les conversations .
Hoy todo el mundo habla de {X} .
Heute reden alle über {X} .

A new picture of {X} is going around .
Une nouvelle photo montrant {X} circule depuis ce matin .
Circula una nueva foto de {X} .
Ein neues Bild von {X} macht die Runde .

{X} is in the news again .
{X} revient dans l' actualité .
{X} vuelve a ser noticia .
{X} ist wieder in den Nachrichten .

I can never get enough of {X} .
{X} , je ne m' en lasse jamais .
Nunca me canso de {X} .
Von {X} kann ich nie genug bekommen .

What do you think about {X} ?
Quel est votre avis sur {X} ?
¿ Qué opináis sobre {X} ?
Was haltet ihr von {X} ?

{X} looks better than ever .
{X} n' a jamais eu aussi belle allure .
{X} luce mejor que nunca .
{X} sieht besser aus als je zuvor .

My grandmother loved {X} .
Ma grand-mère adorait {X} .
A mi abuela le encantaba {X} .
Meine Großmutter liebte {X} .

The cover of this week shows {X} .
La couverture de la semaine montre {X} .
En la portada de esta semana aparece {X} .
Das Titelbild dieser Woche zeigt {X} .

{X} in the morning light .
{X} dans la lumière du matin .
{X} a la luz de la mañana .
{X} im Morgenlicht .

And there was {X} , right before my eyes !
Et voilà {X} , juste devant mes yeux !
¡ Y ahí estaba {X} , justo ante mis ojos !
Und da war {X} , direkt vor meinen Augen !

For years we had been dreaming of {X} .
Depuis des années , {X} nous faisait rêver .
Llevábamos años soñando con {X} .
Jahrelang hatten wir von {X} geträumt .

Happy birthday , {X} !
Joyeux anniversaire , {X} !
¡ Feliz cumpleaños , {X} !
Alles Gute zum Geburtstag , {X} !

A new film about {X} opens tomorrow .
Un nouveau film sur {X} sort demain .
Mañana se estrena una nueva película sobre {X} .
Morgen startet ein neuer Film über {X} .

{X} needs our help now .
{X} a besoin de notre aide maintenant .
{X} necesita nuestra ayuda ahora .
{X} braucht jetzt unsere Hilfe .

The whole story of {X} in one picture .
{X} : toute une histoire en une seule image .
Toda la historia de {X} en una sola imagen .
Die ganze Geschichte von {X} in einem einzigen Bild .

Goodbye {X} , we will miss you !
Adieu {X} , tu vas nous manquer !
¡ Adiós {X} , te echaremos de menos !
Leb wohl , {X} , du wirst uns fehlen !

Without {X} nothing would be the same .
Sans {X} , rien ne serait pareil .
Sin {X} nada sería igual .
Ohne {X} wäre nichts mehr wie früher .

{X} , my earliest memory .
{X} , mon tout premier souvenir .
{X} , mi primer recuerdo .
{X} , meine früheste Erinnerung .

Look , that is {X} !
Regarde , c' est {X} !
¡ Mira , es {X} !
Schau mal , das ist {X} !

Who still remembers {X} ?
Qui connaît encore {X} ?
¿ Quién se acuerda todavía de {X} ?
Wer erinnert sich noch an {X} ?
""")

TWO_NAMES = _groups("""
{X} and {Y} are in the news again .
{X} et {Y} reviennent dans l' actualité .
{X} y {Y} vuelven a ser noticia .
{X} und {Y} sind wieder in den Nachrichten .

I cannot choose between {X} and {Y} .
Je n' arrive pas à choisir entre {X} et {Y} .
No sé elegir entre {X} y {Y} .
Ich kann mich nicht zwischen {X} und {Y} entscheiden .

{X} has nothing in common with {Y} .
{X} n' a rien à voir avec {Y} .
{X} no tiene nada que ver con {Y} .
{X} hat mit {Y} nichts gemeinsam .

Yesterday {X} , today {Y} : what a week !
Hier {X} , aujourd'hui {Y} : quelle semaine !
Ayer {X} , hoy {Y} : ¡ qué semana !
Gestern {X} , heute {Y} : was für eine Woche !

{X} versus {Y} : you decide !
{X} contre {Y} : à vous de choisir !
{X} contra {Y} : ¡ vosotros decidís !
{X} gegen {Y} : ihr habt die Wahl !

This year {X} and {Y} surprised us .
Cette année , {X} et {Y} nous ont surpris .
Este año {X} y {Y} nos sorprendieron .
Dieses Jahr haben uns {X} und {Y} überrascht .

After {X} comes {Y} .
Après {X} , voici {Y} .
Después de {X} llega {Y} .
Nach {X} kommt jetzt {Y} .

{X} and {Y} in the same picture .
{X} et {Y} sur une même photo .
{X} y {Y} en una misma foto .
{X} und {Y} auf einem Bild .
""")

MIXED = _groups("""
{X} reminds {PER} of {LOC} .
{X} rappelle {LOC} à {PER} .
{X} le recuerda a {PER} su paso por {LOC} .
{X} erinnert {PER} an {LOC} .

{PER} wrote to us about {X} .
{PER} nous a envoyé un mot sur {X} .
{PER} nos ha escrito sobre {X} .
{PER} hat uns über {X} geschrieben .

{ORG} has published a report on {X} .
{ORG} a publié un rapport sur {X} .
{ORG} ha publicado un informe sobre {X} .
{ORG} hat einen Bericht über {X} veröffentlicht .

In {LOC} everyone talks about {X} .
À {LOC} , {X} est sur toutes les lèvres .
En {LOC} todo el mundo habla de {X} .
In {LOC} spricht jeder über {X} .

{PER} dedicated a song to {X} .
{PER} a dédié une chanson à {X} .
{PER} le dedicó una canción a {X} .
{PER} hat {X} ein Lied gewidmet .

{X} is a thousand times better than {MISC} .
{X} vaut mille fois mieux que {MISC} .
{X} es mil veces mejor que {MISC} .
{X} ist tausendmal besser als {MISC} .

{PER} will give a talk on {X} in {LOC} .
{PER} fera une conférence sur {X} à {LOC} .
{PER} dará una charla sobre {X} en {LOC} .
{PER} hält in {LOC} einen Vortrag über {X} .
""")

KNOWN_NAMES = _groups("""
{PER} lives in {LOC} .
{PER} habite à {LOC} .
{PER} vive en {LOC} .
{PER} wohnt in {LOC} .

{ORG} is opening an office in {LOC} .
{ORG} ouvre un bureau à {LOC} .
{ORG} abre una oficina en {LOC} .
{ORG} eröffnet ein Büro in {LOC} .

{PER} now works for {ORG} .
{PER} travaille désormais pour {ORG} .
{PER} trabaja ahora para {ORG} .
{PER} arbeitet jetzt für {ORG} .

{PER} knows {MISC} by heart .
{PER} connaît {MISC} par cœur .
{PER} se sabe {MISC} de memoria .
{PER} kennt {MISC} auswendig .

In {LOC} it rained all night .
À {LOC} , il a plu toute la nuit .
En {LOC} llovió toda la noche .
In {LOC} hat es die ganze Nacht geregnet .

The mayor met {PER} in {LOC} .
Le maire a rencontré {PER} à {LOC} .
El alcalde se reunió con {PER} en {LOC} .
Der Bürgermeister traf {PER} in {LOC} .

{MISC} is a true classic .
{MISC} reste un grand classique .
{MISC} sigue siendo un clásico .
{MISC} bleibt ein echter Klassiker .

{PER} and {PER2} have just got married .
{PER} et {PER2} viennent de se marier .
{PER} y {PER2} acaban de casarse .
{PER} und {PER2} haben gerade geheiratet .

The train between {LOC} and {LOC2} is late .
Le train entre {LOC} et {LOC2} est en retard .
El tren entre {LOC} y {LOC2} va con retraso .
Der Zug zwischen {LOC} und {LOC2} hat Verspätung .

{PER} presented {MISC} in {LOC} .
{PER} a présenté {MISC} à {LOC} .
{PER} presentó {MISC} en {LOC} .
{PER} hat {MISC} in {LOC} vorgestellt .

{ORG} is looking for new staff .
{ORG} recherche du personnel .
{ORG} busca nuevo personal .
{ORG} sucht neues Personal .

{MISC} celebrates its birthday : {ORG} sends its best wishes .
{MISC} fête son anniversaire : {ORG} envoie ses meilleurs vœux .
{MISC} celebra su aniversario : {ORG} envía sus mejores deseos .
{MISC} feiert Geburtstag : {ORG} schickt die besten Wünsche .
""")

NO_NAME = _groups("""
The coffee is cold {TIME} .
Le café est froid {TIME} .
El café está frío {TIME} .
Der Kaffee ist {TIME} kalt .

What nice weather {TIME} !
Quel beau temps {TIME} !
¡ Qué buen tiempo {TIME} !
Was für ein schönes Wetter {TIME} !

The bus is late {TIME} .
Le bus est en retard {TIME} .
El autobús llega tarde {TIME} .
Der Bus kommt {TIME} zu spät .

No one answers the phone {TIME} .
Personne ne répond au téléphone {TIME} .
Nadie contesta al teléfono {TIME} .
Niemand geht {TIME} ans Telefon .

There is fresh bread on the table {TIME} .
Il y a du pain frais sur la table {TIME} .
Hay pan recién hecho en la mesa {TIME} .
Auf dem Tisch liegt {TIME} frisches Brot .

My phone is acting up {TIME} .
Mon téléphone fait des siennes {TIME} .
Mi teléfono hace cosas raras {TIME} .
Mein Handy spielt {TIME} verrückt .

We are cooking soup {TIME} .
Nous préparons une soupe {TIME} .
Preparamos una sopa {TIME} .
Wir kochen {TIME} eine Suppe .

The children are playing outside {TIME} .
Les enfants jouent dehors {TIME} .
Los niños juegan fuera {TIME} .
Die Kinder spielen {TIME} draußen .

Our team is training hard {TIME} .
Notre équipe s' entraîne dur {TIME} .
Nuestro equipo entrena duro {TIME} .
Unsere Mannschaft trainiert {TIME} hart .

I have no time {TIME} , sorry !
Je n' ai pas le temps {TIME} , pardon !
¡ No tengo tiempo {TIME} , lo siento !
Ich habe {TIME} keine Zeit , tut mir leid !

The whole street is quiet {TIME} .
Toute la rue est calme {TIME} .
Toda la calle está tranquila {TIME} .
Die ganze Straße ist {TIME} ruhig .

The cat is sleeping on the sofa {TIME} .
Le chat dort sur le canapé {TIME} .
El gato duerme en el sofá {TIME} .
Die Katze schläft {TIME} auf dem Sofa .

Good news for everyone {TIME} .
Une bonne nouvelle pour tout le monde {TIME} .
Buenas noticias para todos {TIME} .
Gute Nachrichten für alle {TIME} .
""")

SENTENCE_TEMPLATES = {"one": ONE_NAME, "two": TWO_NAMES, "mixed": MIXED, "known": KNOWN_NAMES, "none": NO_NAME}

AMBIGUOUS_NAMES = _names("""
Alba
Atlas
Aurora
Austin
Avalon
Brooklyn
Chelsea
Dakota
Denver
Helena
Houston
Hudson
Jackson
Lincoln
Luna
Madison
Marina
Mercedes
Montana
Olympia
Orion
Phoenix
Santiago
Savannah
Sierra
Vega
Victoria
Monte Rosa
Nueva Alba
San Remo
Santa Clara
Santa Cruz
Santa Maria
Santa Rosa
Stella Nova
Vera Cruz
""")

FIRST_NAMES = ["Anna", "Carmen", "Claire", "Diego", "Emma", "Felix", "Julien", "Lukas", "Maria", "Pablo"]
LAST_NAMES = ["Becker", "Dubois", "Fischer", "García", "Keller", "Lefèvre", "Moreau", "Navarro", "Ortega", "Wagner"]

FILLERS: dict[str, list[Words]] = {
    "PER": [dict.fromkeys(MINI_LANGUAGES, (first, last)) for first in FIRST_NAMES for last in LAST_NAMES],
    "LOC": _names("""
Berlin/Berlin/Berlín/Berlin
Brussels/Bruxelles/Bruselas/Brüssel
Geneva/Genève/Ginebra/Genf
Lisbon/Lisbonne/Lisboa/Lissabon
London/Londres/Londres/London
Madrid
Munich/Munich/Múnich/München
New York/New York/Nueva York/New York
Paris/Paris/París/Paris
Prague/Prague/Praga/Prag
Rio de Janeiro
Rome/Rome/Roma/Rom
Seville/Séville/Sevilla/Sevilla
Toronto
Vienna/Vienne/Viena/Wien
Warsaw/Varsovie/Varsovia/Warschau
"""),
    "ORG": _names("""
Air France
Airbus
Bosch
Ericsson
General Electric
Greenpeace
Michelin
Nokia
Philips
Renault
Reuters
Siemens
Unicef
Volvo
"""),
    "MISC": _names("""
Don Quixote/Don Quichotte/Don Quijote/Don Quijote
Faust
Hamlet
Macbeth
Minecraft
Monopoly
Pac-Man
Romeo and Juliet/Roméo et Juliette/Romeo y Julieta/Romeo und Julia
Scrabble
Star Wars
Tetris
"""),
    "TIME": _names("""
today/aujourd'hui/hoy/heute
this morning/ce matin/esta mañana/heute Morgen
this evening/ce soir/esta noche/heute Abend
right now/en ce moment/ahora mismo/gerade
once again/encore une fois/otra vez/wieder einmal
as always/comme toujours/como siempre/wie immer
"""),
}


@dataclass(frozen=True)
class FilledTemplate:
    """A template and the name for each of its slots, in all languages."""

    template: Words
    names: Mapping[str, Words]

    def types(self) -> list[str]:
        """Return the entity types that the words reveal."""
        return sorted({slot_type(slot) for slot in self.names} & set(MINI_TYPES))

    def render(self, language: str, subject: str | None) -> tuple[list[str], list[str]]:
        """Return tokens and tags in a language; ambiguous names get the type `subject`, which the picture shows."""
        tokens: list[str] = []
        tags: list[str] = []
        for word in self.template[language]:
            name = self.names[word][language] if word in self.names else (word,)
            kind = subject if word in AMBIGUOUS_SLOTS else slot_type(word)
            tokens += name
            tags += [f"B-{kind}", *[f"I-{kind}"] * (len(name) - 1)] if kind in MINI_TYPES else ["O"] * len(name)
        return tokens, tags


def slot_type(word: str) -> str:
    """Return the type of the names that fill a slot such as `{PER2}`, or an empty string for an ordinary word."""
    return word.strip("{}2") if word.startswith("{") else ""


def slots(template: Words) -> list[str]:
    """Return the slots of a template, in the order of its first language."""
    return [word for word in template[MINI_LANGUAGES[0]] if word.startswith("{")]

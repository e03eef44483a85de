const form = document.getElementById("filters");
const cards = Array.from(document.querySelectorAll(".sentence"), (card) => ({
  card,
  text: card.querySelector(".gold").textContent.toLowerCase() + " " + card.querySelector(".id").textContent.toLowerCase(),
  errors: Array.from(card.querySelectorAll(".errors li"), (item) => item.dataset),
}));
function update() {
  const chosen = (name) => form.elements[name].value;
  const fits = (error) =>
    (!chosen("kind") || error.kind === chosen("kind")) &&
    (!chosen("type") || error.gold === chosen("type") || error.predicted === chosen("type")) &&
    (!chosen("suspect") || error.suspect === chosen("suspect"));
  const groups = Array.from(form.querySelectorAll("select.group")).filter((select) => select.value);
  const text = chosen("text").trim().toLowerCase();
  let shown = 0;
  for (const { card, text: words, errors } of cards) {
    const here = groups.every((select) => card.dataset[select.name] === select.value);
    card.hidden = !(here && words.includes(text) && errors.some(fits));
    shown += !card.hidden;
  }
  document.getElementById("shown").value = `${shown} of ${cards.length} sentences`;
}
form.addEventListener("input", update);
form.addEventListener("reset", () => setTimeout(update));
form.addEventListener("submit", (event) => event.preventDefault());
form.hidden = false;
update();

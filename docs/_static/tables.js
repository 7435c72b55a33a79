/* On a phone, a table of sentences or of very many columns becomes a list: each row a card, each cell with its column's name. */
for (const table of document.querySelectorAll(".table-wrapper table")) {
  const names = [...table.querySelectorAll("thead th")].map((cell) => cell.textContent.trim());
  const cells = [...table.querySelectorAll("tbody td")];
  const sentences = cells.filter((cell) => cell.textContent.trim().length > 30).length;
  if (names.length < 3 || cells.length > 120 || (names.length < 7 && 6 * sentences < cells.length)) continue;
  table.classList.add("cards");
  for (const cell of cells) {
    cell.dataset.label = names[cell.cellIndex];
    cell.classList.toggle("blank", !cell.textContent.trim());
  }
}

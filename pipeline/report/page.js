// Sort a table by the clicked column: text upwards first, figures downwards first, cells without a figure always last.
const figure = (cell) => {
  const found = cell.textContent.replaceAll("−", "-").replaceAll(",", "").match(/[-+]?\d*\.?\d+/);
  return found ? Number(found[0]) : null;
};
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const first = column === 0 ? "ascending" : "descending";
      const other = column === 0 ? "descending" : "ascending";
      const order = heading.getAttribute("aria-sort") === first ? other : first;
      headings.forEach((each) => each.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const body = table.tBodies[0];
      const compare = (a, b) => {
        if (column === 0) return sign * a.cells[0].textContent.localeCompare(b.cells[0].textContent);
        const [x, y] = [figure(a.cells[column]), figure(b.cells[column])];
        if (x === null || y === null) return (x === null) - (y === null);
        return sign * (x - y);
      };
      body.append(...[...body.rows].sort(compare));
    });
  });
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => (each.open = true)));

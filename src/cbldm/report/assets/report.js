// The page: unpacks what it carries, shows a candidate, sorts the table, and offers the files.

class Report {
  constructor(content) {
    this.files = content.files;
    this.keys = content.keys;
    this.candidates = new Map(content.candidates.map((candidate) => [candidate.rank, candidate]));
    for (const candidate of this.candidates.values()) {
      candidate.fit = readFit(this.files[candidate.fgr], candidate.rank);
      if (candidate.background) candidate.fit.background = Float64Array.from(candidate.background);
      candidate.atoms = readAtoms(this.files[candidate.xyz], candidate.view);
    }
    this.offerFiles();
    this.fillCards();
    if (!this.candidates.size) return;
    this.plot = new FitPlot(byId("plot"), byId("readout"));
    this.chosen = this.candidates.keys().next().value;
    this.listen();
    this.show(this.chosen);
  }

  listen() {
    byId("candidate").addEventListener("change", (event) => this.show(Number(event.target.value)));
    byId("previous").addEventListener("click", () => this.step(-1));
    byId("next").addEventListener("click", () => this.step(1));
    byId("plot-in").addEventListener("click", () => this.plot.zoom(0.6));
    byId("plot-out").addEventListener("click", () => this.plot.zoom(1 / 0.6));
    byId("plot-reset").addEventListener("click", () => this.plot.reset());
    byId("colour").addEventListener("change", () => this.showStructure());
    byId("size").addEventListener("input", () => this.showStructure());
    byId("structure-reset").addEventListener("click", () => this.view?.reset());
    for (const button of document.querySelectorAll("[data-show]")) {
      button.addEventListener("click", () => this.show(Number(button.dataset.show)));
    }
  }

  coloursOf(candidate, by) {
    return coloursOf(this.keys[by], candidate[by]);
  }

  step(by) {
    const ranks = [...this.candidates.keys()];
    this.show(ranks[(ranks.indexOf(this.chosen) + by + ranks.length) % ranks.length]);
  }

  show(rank) {
    this.chosen = rank;
    const candidate = this.candidates.get(rank);
    byId("candidate").value = String(rank);
    byId("shown").textContent = candidate.detail;
    for (const button of document.querySelectorAll(".ranking [data-show]")) {
      const isChosen = Number(button.dataset.show) === rank;
      button.setAttribute("aria-pressed", String(isChosen));
      button.closest("tr").classList.toggle("chosen", isChosen);
    }
    this.plot.show(candidate.fit);
    this.showStructure();
  }

  showStructure() {
    const candidate = this.candidates.get(this.chosen), by = byId("colour").value;
    const radius = (candidate.radius * Number(byId("size").value)) / 100;
    this.view?.show(candidate.atoms, this.coloursOf(candidate, by), radius);
    showKey(byId("key"), this.keys[by], candidate[by]);
  }

  /** Small pictures of every candidate, also for paper, at the size that the page gives them. */
  fillCards() {
    const observer = new ResizeObserver((entries) => entries.forEach(({ target }) => this.drawCard(target)));
    for (const card of document.querySelectorAll(".card")) {
      this.drawCard(card);
      observer.observe(card);
    }
  }

  drawCard(card) {
    const { atoms, fit, radius, ...candidate } = this.candidates.get(Number(card.dataset.rank));
    const box = card.querySelector(".curves"), canvas = card.querySelector("canvas");
    if (box.clientWidth < 50) return;
    const range = [fit.r[0], fit.r[fit.r.length - 1]];
    drawFit(box.querySelector("svg"), fit, range, box.clientWidth, box.clientHeight, true);
    drawSpheres(canvas, atoms, this.coloursOf(candidate, "neighbours"), radius);
  }

  /** The links lead to the files beside the page; from here on to the copies inside it. */
  offerFiles() {
    for (const link of document.querySelectorAll("a[download]")) {
      const content = this.files[link.dataset.file];
      link.href = URL.createObjectURL(new Blob([content], { type: "application/octet-stream" }));
    }
  }

  async startViewer() {
    const box = byId("structure");
    if (!box) return;
    this.view = await openView(box);
    byId("fallback").hidden = box.dataset.drawnBy === "3Dmol";
    this.showStructure();
  }
}

/** Sort the rows of a table by the column of a button; a second press turns the order around. */
function sortBy(button) {
  const head = button.closest("th"), table = head.closest("table"), body = table.tBodies[0];
  const direction = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
  const sign = direction === "ascending" ? 1 : -1, column = head.cellIndex;
  for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", direction);
  const value = (row) => row.cells[column].dataset.value;
  const compare = (a, b) => {
    const [left, right] = [value(a), value(b)];
    if (left === "" || right === "") return (left === "") - (right === "");
    const difference = Number(left) - Number(right);
    return sign * (Number.isNaN(difference) ? left.localeCompare(right) : difference);
  };
  body.append(...[...body.rows].sort(compare));
}

document.addEventListener("DOMContentLoaded", async () => {
  for (const button of document.querySelectorAll(".ranking th button")) {
    button.addEventListener("click", () => sortBy(button));
  }
  try {
    const report = new Report(JSON.parse(await unpack("payload")));
    await report.startViewer();
    document.documentElement.dataset.ready = "yes";
  } catch (error) {
    const problem = byId("problem") ?? document.body.appendChild(document.createElement("p"));
    problem.textContent = `This browser cannot draw the curves and structures (${error.message}); `
      + "fit.png and structures.png lie beside this page.";
    problem.hidden = false;
  }
});

// The page: unpacks what it carries, shows a candidate, sorts the table, and offers the files.

const byId = (id) => document.getElementById(id);
const dark = window.matchMedia("(prefers-color-scheme: dark)");

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  byId("theme")?.setAttribute("aria-pressed", String(name === "dark"));
}

setTheme(dark.matches ? "dark" : "light");
dark.addEventListener("change", () => setTheme(dark.matches ? "dark" : "light"));

/** Text from gzip in base64. */
async function unpack(id) {
  const packed = Uint8Array.from(atob(byId(id).textContent.trim()), (sign) => sign.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

/** The curves of a .fgr file: r, calculated, two unused columns, observed − calculated. */
function readFit(text, rank) {
  const rows = text.slice(text.indexOf("\n#L ") + 1).trim().split("\n").slice(1).map((row) => row.split(" ").map(Number));
  const column = (index) => Float64Array.from(rows, (row) => row[index]);
  const [r, calculated, difference] = [column(0), column(1), column(4)];
  return { rank, r, calculated, difference, observed: calculated.map((value, index) => value + difference[index]) };
}

/** The positions in an extended .xyz file, from their mean and as seen first. */
function readAtoms(text, view) {
  const rows = text.trim().split("\n").slice(2).map((row) => row.trim().split(/\s+/).slice(1, 4).map(Number));
  const mean = [0, 1, 2].map((k) => rows.reduce((sum, row) => sum + row[k], 0) / rows.length);
  return turned(rows.map((row) => row.map((value, k) => value - mean[k])), view);
}

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

  /** The colour of each atom: its class is one digit of a string. */
  coloursOf(candidate, by) {
    return Array.from(candidate[by], (digit) => this.keys[by][Number(digit)].colour);
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
    byId("key").replaceChildren(...this.keys[by].flatMap(({ label, colour }, index) => {
      if (!candidate[by].includes(String(index))) return [];
      const entry = document.createElement("span");
      entry.className = "entry";
      const dot = svg("svg", { viewBox: "0 0 12 12", "aria-hidden": "true" }, entry);
      svg("circle", { cx: 6, cy: 6, r: 5.5, fill: colour, stroke: "#0004" }, dot);
      entry.append(label);
      return [entry];
    }));
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
    let plain = !hasWebgl();
    if (!plain) {
      const script = document.createElement("script");
      script.textContent = await unpack("viewer-code");
      document.head.append(script);
      plain = !window.$3Dmol;
    }
    this.view = plain ? new PlainView(box) : new WebglView(box);
    byId("fallback").hidden = !plain;
    box.dataset.drawnBy = plain ? "canvas" : "3Dmol";
    steer(box, this.view, plain);
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
  setTheme(document.documentElement.dataset.theme);
  byId("theme").addEventListener("click", () => {
    setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  });
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

// The trend: panels above one axis, the files as points, and a table of those in sight.

// Pixels to a point at which a click opens its report, rows of the table at first, and the sides of the panels.
const NEAR = 12, ROWS = 25, TOP = 26, GAP = 34, BOTTOM = 42, RIGHT = 12;

const PANELS = [
  { what: "atoms", title: "Atoms, rank 1, with the 80 % range", values: "atoms", share: 1.5 },
  { what: "diameter", title: "Diameter of rank 1 (Å)", values: "diameter", share: 1 },
  { what: "motif", title: "Probability of each motif", share: 1.3 },
  { what: "rw", title: "Rw of rank 1", values: "rw", share: 1, zero: true },
  { what: "uiso", title: "Uiso of rank 1 (Å²)", values: "uiso", share: 1, zero: true },
];
const WORDS = { atoms: "atom count", diameter: "diameter", motif: "motif" };

const NUMERIC = /^[-–\d.e+]+$/;

const counted = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
const known = (value) => value !== null && value !== undefined;
const fixed = (value, digits) => (known(value) ? value.toFixed(digits) : "–");

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

class TrendPlot extends RangePlot {
  constructor(box, series) {
    super(box);
    this.series = series;
    box.addEventListener("pointerleave", () => this.highlight(null));
  }

  /** Show the rows over an axis, all of it. */
  show(axis) {
    const { columns } = this.series;
    this.axis = axis;
    this.order = columns.file.map((_, row) => row).filter((row) => known(axis.places[row]));
    this.order.sort((a, b) => axis.places[a] - axis.places[b] || a - b);
    const places = this.order.map((row) => axis.places[row]);
    const [low, high] = places.length ? [places[0], places[places.length - 1]] : [0, 1];
    const margin = this.isOrder ? 0.5 : 0.02 * (high - low) || 0.5;
    this.whole = [low - margin, high + margin];
    this.range = this.whole;
    this.narrowest = Math.min(1, 3 / Math.max(places.length, 1));
    this.chosen = null;
    this.draw();
  }

  get isOrder() {
    return this.axis === this.series.axes[0];
  }

  /** Rows in sight, in the order of the axis. */
  visible() {
    return this.order.filter((row) => this.axis.places[row] >= this.range[0] && this.axis.places[row] <= this.range[1]);
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.box;
    if (!this.axis || width < 100) return;
    this.target.replaceChildren();
    this.target.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const left = width < 600 ? 46 : 60, [from, to] = this.range;
    this.toPixel = (x) => left + ((x - from) / (to - from)) * (width - left - RIGHT);
    this.toX = (pixel) => from + ((pixel - left) / (width - left - RIGHT)) * (to - from);
    const rows = this.visible(), total = PANELS.reduce((sum, panel) => sum + panel.share, 0);
    const unit = (height - TOP - BOTTOM - (PANELS.length - 1) * GAP) / total;
    let top = TOP;
    this.panels = PANELS.map((panel) => {
      const frame = { ...panel, left, right: width - RIGHT, top, base: top + panel.share * unit };
      top = frame.base + GAP;
      this.drawPanel(frame, rows);
      return frame;
    });
    this.drawPlaces(left, width - RIGHT, height - BOTTOM);
    this.marks = svg("g", {}, this.target);
    this.drawMarks();
    this.box.dataset.range = this.range.map((x) => x.toFixed(3)).join(" ");
    this.onDraw?.(rows);
  }

  drawPanel(frame, rows) {
    const { left, right, top, base } = frame;
    svg("text", { class: "name", x: left, y: top - 9 }, this.target).textContent = frame.title;
    const [low, high] = frame.values ? this.extent(frame, rows) : [0, 1];
    frame.toY = (value) => top + ((high - value) / (high - low)) * (base - top);
    for (const [value, text] of ticks(low, high, Math.max(2, (base - top) / 32))) {
      svg("path", { class: "base", d: `M${left} ${frame.toY(value)}H${right}` }, this.target);
      svg("text", { x: left - 8, y: frame.toY(value) + 4, "text-anchor": "end" }, this.target).textContent = text;
    }
    if (frame.values) this.drawPoints(frame, rows); else this.drawShares(frame, rows);
    svg("path", { class: "axis", d: `M${left} ${top}V${base}H${right}` }, this.target);
    this.drawChanges(frame);
  }

  extent(frame, rows) {
    const { columns } = this.series, names = frame.what === "atoms" ? ["atoms", "low", "high"] : [frame.values];
    let low = frame.zero ? 0 : Infinity, high = -Infinity;
    for (const name of names) {
      for (const row of rows) {
        if (!known(columns[name][row])) continue;
        low = Math.min(low, columns[name][row]);
        high = Math.max(high, columns[name][row]);
      }
    }
    if (high < low) return [0, 1];
    const margin = 0.06 * (high - low) || 0.05 * Math.abs(high) || 1;
    return [frame.zero ? 0 : low - margin, high + margin];
  }

  drawPoints(frame, rows) {
    const { columns } = this.series, radius = rows.length > 400 ? 1.6 : 3;
    let points = "", ranges = "", faults = "";
    for (const row of rows) {
      const x = this.toPixel(this.axis.places[row]).toFixed(1), value = columns[frame.values][row];
      if (!known(value)) {
        faults += `M${x - 4} ${frame.base - 10}l8 8m0 -8l-8 8`;
        continue;
      }
      points += `M${(x - radius).toFixed(1)} ${frame.toY(value).toFixed(1)}`
        + `a${radius} ${radius} 0 1 0 ${2 * radius} 0a${radius} ${radius} 0 1 0 ${-2 * radius} 0`;
      if (frame.what === "atoms") {
        ranges += `M${x} ${frame.toY(columns.low[row]).toFixed(1)}V${frame.toY(columns.high[row]).toFixed(1)}`;
      }
    }
    svg("path", { class: "range", d: ranges, "stroke-width": rows.length > 400 ? 1 : 2 }, this.target);
    svg("path", { class: "point", d: points }, this.target);
    svg("path", { class: "fault", d: faults }, this.target);
  }

  /** Shares as stacked bars; rows that share a pixel share a bar, which shows their mean. */
  drawShares(frame, rows) {
    const { columns, weights } = this.series, bars = new Map();
    for (const row of rows) {
      if (!known(columns.atoms[row])) continue;
      const pixel = Math.round(this.toPixel(this.axis.places[row]));
      bars.set(pixel, [...(bars.get(pixel) ?? []), row]);
    }
    const pixels = [...bars.keys()].sort((a, b) => a - b);
    const gaps = pixels.slice(1).map((pixel, index) => pixel - pixels[index]);
    const width = Math.min(28, Math.max(1, Math.min(...gaps, 28) * (Math.min(...gaps, 28) > 4 ? 0.8 : 1)));
    const paths = weights.map(() => "");
    for (const pixel of pixels) {
      const [start, end] = [Math.max(frame.left, pixel - width / 2), Math.min(frame.right, pixel + width / 2)];
      let below = 0;
      weights.forEach(({ values }, index) => {
        const share = bars.get(pixel).reduce((sum, row) => sum + values[row], 0) / bars.get(pixel).length;
        if (share <= 0) return;
        const [low, high] = [frame.toY(below), frame.toY(Math.min(1, below + share))];
        paths[index] += `M${start.toFixed(1)} ${low.toFixed(1)}H${end.toFixed(1)}V${high.toFixed(1)}H${start.toFixed(1)}Z`;
        below += share;
      });
    }
    weights.forEach(({ colour }, index) => svg("path", { fill: colour, d: paths[index] }, this.target));
  }

  drawChanges(frame) {
    for (const [before, after] of this.axis.changes[frame.what] ?? []) {
      const x = (this.axis.places[before] + this.axis.places[after]) / 2;
      if (x < this.range[0] || x > this.range[1]) continue;
      svg("path", { class: "change", d: `M${this.toPixel(x).toFixed(1)} ${frame.top - 4}V${frame.base}` }, this.target);
    }
  }

  drawPlaces(left, right, base) {
    for (const [value, text] of ticks(...this.range, Math.max(2, (right - left) / 70))) {
      if (this.isOrder && !Number.isInteger(value)) continue;
      svg("path", { class: "axis", d: `M${this.toPixel(value)} ${base}v5` }, this.target);
      svg("text", { x: this.toPixel(value), y: base + 18, "text-anchor": "middle" }, this.target).textContent = text;
    }
    const name = this.isOrder ? "file, in order" : this.axis.name;
    svg("text", { x: (left + right) / 2, y: base + 36, "text-anchor": "middle" }, this.target).textContent = name;
  }

  /** Lines through all panels at the chosen row and at the one under the pointer. */
  drawMarks() {
    this.marks.replaceChildren();
    for (const [row, name] of [[this.chosen, "here chosen"], [this.hovered, "here"]]) {
      const x = known(row) ? this.axis.places[row] : null;
      if (!known(x) || x < this.range[0] || x > this.range[1]) continue;
      const { base } = this.panels[this.panels.length - 1];
      svg("path", { class: name, d: `M${this.toPixel(x).toFixed(1)} ${TOP}V${base}` }, this.marks);
    }
  }

  /** The row nearest to the pointer, and whether it is near enough to be meant. */
  nearest(event) {
    const box = this.box.getBoundingClientRect(), { columns } = this.series;
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const panel = this.panels.find(({ top, base }) => y >= top - 10 && y <= base + 10);
    let best = null, least = Infinity;
    for (const row of this.visible()) {
      const value = panel?.values ? columns[panel.values][row] : null;
      const dy = known(value) ? panel.toY(value) - y : 0;
      const distance = Math.hypot(this.toPixel(this.axis.places[row]) - x, dy);
      if (distance < least) [best, least] = [row, distance];
    }
    return { row: best, near: panel !== undefined && least <= NEAR };
  }

  point(event) {
    const { row, near } = this.nearest(event);
    this.box.classList.toggle("near", near && this.series.leadsTo(row));
    this.highlight(row);
  }

  highlight(row) {
    this.hovered = row;
    if (this.marks) this.drawMarks();
    this.series.say(row ?? this.chosen);
  }

  pick(event) {
    const { row, near } = this.nearest(event);
    if (near && event.pointerType === "mouse") this.series.open(row);
    this.choose(row);
  }

  choose(row) {
    this.chosen = row;
    this.highlight(null);
  }

  step(by) {
    const rows = this.visible();
    if (!rows.length) return;
    const place = rows.indexOf(this.chosen);
    const next = place < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(place + by, 0), rows.length - 1);
    this.choose(rows[next]);
  }

  actions() {
    return {
      ...super.actions(),
      ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1),
      PageUp: () => this.shift(-0.5), PageDown: () => this.shift(0.5),
      Enter: () => this.series.open(this.chosen),
    };
  }
}

class Series {
  constructor(content) {
    Object.assign(this, content);
    this.most = ROWS;
    this.plot = new TrendPlot(byId("plot"), this);
    this.plot.onDraw = (rows) => this.fillTable(rows);
    byId("axis").addEventListener("change", () => this.show());
    byId("plot-in").addEventListener("click", () => this.plot.zoom(0.6));
    byId("plot-out").addEventListener("click", () => this.plot.zoom(1 / 0.6));
    byId("plot-reset").addEventListener("click", () => this.plot.reset());
    byId("more").addEventListener("click", () => {
      this.most *= 4;
      this.fillTable(this.plot.visible());
    });
    this.showKey();
    this.show();
  }

  show() {
    const axis = this.axes.find(({ name }) => name === byId("axis").value);
    this.plot.show(axis);
    this.say(null);
    const n = this.columns.file.length - this.plot.order.length;
    byId("left-out").hidden = n === 0;
    byId("left-out").textContent = `${counted(n, "file")} left out: there is no ${axis.name} for ${n === 1 ? "it" : "them"}.`;
    const places = (row) => (axis === this.axes[0] ? `file ${axis.places[row]}` : `${axis.name} ${axis.places[row]}`);
    const lines = Object.entries(axis.changes).flatMap(([what, pairs]) =>
      pairs.map(([before, after]) => `The ${WORDS[what]} changes between ${this.columns.file[before]} and `
        + `${this.columns.file[after]} (${places(before)} and ${places(after)}).`));
    byId("changes").replaceChildren(...(lines.length ? lines : ["None was found."]).map((text) => element("li", text)));
  }

  showKey() {
    const entries = [["dot", "", "rank 1"], ["bar", "", "80 % range"], ["line change", "", "change"]];
    if (this.columns.error.some(Boolean)) entries.push(["fault", "×", "without a structure"]);
    const parts = entries.map(([name, sign, text]) => {
      const entry = element("span", "", { class: "entry" });
      entry.append(element("span", sign, { class: name, "aria-hidden": "true" }), text);
      return entry;
    });
    for (const { name, colour } of this.weights) {
      const entry = element("span", "", { class: "entry" }), box = svg("svg", { viewBox: "0 0 13 13", "aria-hidden": "true" }, entry);
      svg("rect", { width: 13, height: 13, fill: colour }, box);
      entry.append(name);
      parts.push(entry);
    }
    byId("key").replaceChildren(...parts);
  }

  leadsTo(row) {
    return known(row) && this.columns.report[row];
  }

  /** The report of a row: a relative path, in which a name can do nothing but name a folder. */
  address(row) {
    return `./${encodeURIComponent(this.columns.name[row])}/report.html`;
  }

  open(row) {
    if (this.leadsTo(row)) window.location.href = this.address(row);
  }

  link(row, text) {
    return this.leadsTo(row) ? element("a", text, { href: this.address(row) }) : document.createTextNode(text);
  }

  /** Everything about a row in a line, with a link to its report. */
  say(row) {
    const readout = byId("readout"), { columns, axes } = this;
    if (!known(row)) {
      readout.textContent = "\u00a0";
      return;
    }
    const axis = this.plot.axis, place = axis === axes[0] ? "" : `, ${axis.name} ${axis.places[row]}`;
    const text = columns.error[row] || `${columns.atoms[row]} atoms (${columns.low[row]}–${columns.high[row]}), `
      + `${columns.motif[row]}, ${fixed(columns.diameter[row], 1)} Å, Rw ${fixed(columns.rw[row], 3)}, `
      + `Uiso ${fixed(columns.uiso[row], 4)} Å²`;
    readout.replaceChildren(this.link(row, columns.file[row]), `${place}: ${text}`);
  }

  fillTable(rows) {
    const table = byId("table"), { columns } = this, axis = this.plot.axis;
    const heads = ["file", ...(this.plot.isOrder ? [] : [axis.name]), "N", "80 % range", "motif", "diameter Å", "Rw", "Uiso Å²",
      "equally good", "warnings", "without a structure"];
    const head = document.createElement("thead"), body = document.createElement("tbody");
    head.append(document.createElement("tr"));
    const left = new Set(["file", "motif", "without a structure"]);
    head.firstChild.append(...heads.map((name) => element("th", name, { scope: "col", class: left.has(name) ? "" : "number" })));
    for (const row of rows.slice(0, this.most)) {
      const line = document.createElement("tr"), failed = Boolean(columns.error[row]);
      const first = element("th", "", { scope: "row" });
      first.append(this.link(row, columns.file[row]));
      const cells = [
        ...(this.plot.isOrder ? [] : [String(axis.places[row])]),
        failed ? "–" : String(columns.atoms[row]), failed ? "–" : `${columns.low[row]}–${columns.high[row]}`,
        columns.motif[row] ?? "", fixed(columns.diameter[row], 1), fixed(columns.rw[row], 3), fixed(columns.uiso[row], 4),
        failed ? "–" : String(columns.equivalents[row]), String(columns.warnings[row]),
      ];
      line.append(first, ...cells.map((text) => element("td", text, NUMERIC.test(text) ? { class: "number" } : {})));
      line.append(element("td", columns.error[row], failed ? { class: "wide fault" } : {}));
      body.append(line);
    }
    table.replaceChildren(head, body);
    const n = Math.min(rows.length, this.most);
    byId("shown").textContent = `${counted(n, "file")} of the ${rows.length} in the range that the plot shows.`;
    byId("more").hidden = n === rows.length;
  }
}

document.addEventListener("DOMContentLoaded", async () => {
  try {
    new Series(JSON.parse(await unpack("payload")));
    document.documentElement.dataset.ready = "yes";
  } catch (error) {
    byId("problem").textContent = `This browser cannot draw the trend (${error.message}); the numbers are in series.csv.`;
    byId("problem").hidden = false;
  }
});

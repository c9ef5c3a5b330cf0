"use strict";

const SVG = "http://www.w3.org/2000/svg";
// Pixels along r per circle.
const PER_CIRCLE = 4;

function svg(name, attributes, parent) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent?.append(element);
  return element;
}

/** About `count` round values between low and high. */
function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const values = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + 1e-9 * step; index++) {
    values.push([index * step, (index * step).toFixed(digits).replace("-", "−").replace(/^−(0(\.0*)?)$/, "$1")]);
  }
  return values;
}

/** The lowest and the highest value of some curves between two indices. */
function extent(curves, first, last) {
  let low = Infinity, high = -Infinity;
  for (const curve of curves) {
    for (let index = first; index <= last; index++) {
      low = Math.min(low, curve[index]);
      high = Math.max(high, curve[index]);
    }
  }
  return [low, high];
}

/** The first index at which ascending values reach a limit. */
function reach(values, limit) {
  let low = 0, high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < limit) low = middle + 1; else high = middle;
  }
  return low;
}

/** A polyline; where points are closer than half a pixel, the lowest and highest of each pixel stand for them. */
function polyline(first, last, x, y) {
  const points = [];
  const dense = (last - first) / Math.max(1, x(last) - x(first)) > 2;
  for (let start = first; start <= last;) {
    let end = start + 1, low = start, high = start;
    while (dense && end <= last && Math.floor(x(end)) === Math.floor(x(start))) {
      if (y(end) > y(low)) low = end;
      if (y(end) < y(high)) high = end;
      end++;
    }
    for (const index of [...new Set([Math.min(low, high), Math.max(low, high)])]) {
      points.push(`${x(index).toFixed(1)},${y(index).toFixed(1)}`);
    }
    start = end;
  }
  return points.length ? `M${points.join("L")}` : "";
}

/** Draw a fit into an SVG element of this size between two r; returns what turns pixels into r. */
function drawFit(target, fit, [from, to], width, height, small) {
  const inset = small ? [6, 6, 20, 6] : [14, 12, 42, 56];
  const [top, right, bottom, left] = inset;
  const first = Math.max(0, reach(fit.r, from) - 1);
  const last = Math.min(fit.r.length - 1, reach(fit.r, to));
  const curves = [fit.observed, fit.calculated].concat(fit.background ? [fit.background] : []);
  const [lowest, highest] = extent(curves, first, last);
  const [least, most] = extent([fit.difference], first, last);
  const offset = lowest - Math.max(most, 0) - 0.06 * (highest - lowest);
  const margin = 0.03 * (highest - offset - Math.min(least, 0)) || 1;
  const floor = offset + Math.min(least, 0) - margin, ceiling = highest + margin;
  const toX = (r) => left + ((r - from) / (to - from)) * (width - left - right);
  const toY = (g) => top + ((ceiling - g) / (ceiling - floor)) * (height - top - bottom);
  const x = (index) => toX(fit.r[index]);

  target.replaceChildren();
  target.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const id = `clip-${target.id || fit.rank}`;
  svg("rect", { x: left, y: 0, width: width - left - right, height: height - bottom },
    svg("clipPath", { id }, svg("defs", {}, target)));
  svg("path", { class: "base", d: `M${left} ${toY(0)}H${width - right}` }, target);
  const inner = svg("g", { "clip-path": `url(#${id})` }, target);
  svg("path", { class: "zero", d: `M${left} ${toY(offset)}H${width - right}` }, inner);
  const step = Math.max(1, Math.ceil((last - first + 1) / ((width - left - right) / PER_CIRCLE)));
  const radius = small ? 1.6 : 2.6;
  let circles = "";
  for (let index = first + (step - (first % step)) % step; index <= last; index += step) {
    circles += `M${(x(index) - radius).toFixed(1)} ${toY(fit.observed[index]).toFixed(1)}`
      + `a${radius} ${radius} 0 1 0 ${2 * radius} 0a${radius} ${radius} 0 1 0 ${-2 * radius} 0`;
  }
  svg("path", { class: "observed", d: circles }, inner);
  if (fit.background) {
    const d = polyline(first, last, x, (index) => toY(fit.background[index]));
    svg("path", { class: "curve background", d }, inner);
  }
  svg("path", { class: "curve fit", d: polyline(first, last, x, (index) => toY(fit.calculated[index])) }, inner);
  const d = polyline(first, last, x, (index) => toY(fit.difference[index] + offset));
  svg("path", { class: "curve difference", d }, inner);
  drawAxes(target, [from, to], [floor, ceiling], toX, toY, [left, height - bottom, width - right, top], small);
  return (pixel) => from + ((pixel - left) / (width - left - right)) * (to - from);
}

function drawAxes(target, [from, to], [floor, ceiling], toX, toY, [left, base, right, top], small) {
  svg("path", { class: "axis", d: small ? `M${left} ${base}H${right}` : `M${left} ${top}V${base}H${right}` }, target);
  for (const [value, text] of ticks(from, to, (right - left) / 70)) {
    svg("path", { class: "axis", d: `M${toX(value)} ${base}v5` }, target);
    svg("text", { x: toX(value), y: base + (small ? 16 : 19), "text-anchor": "middle" }, target).textContent = text;
  }
  if (small) return;
  for (const [value, text] of ticks(floor, ceiling, (base - top) / 55)) {
    svg("path", { class: "axis", d: `M${left} ${toY(value)}h-5` }, target);
    svg("text", { x: left - 8, y: toY(value) + 4, "text-anchor": "end" }, target).textContent = text;
  }
  svg("text", { x: (left + right) / 2, y: base + 37, "text-anchor": "middle" }, target).textContent = "r (Å)";
  const turn = `translate(14 ${(base + top) / 2}) rotate(-90)`;
  svg("text", { transform: turn, "text-anchor": "middle" }, target).textContent = "G (Å⁻²)";
}

/** A plot in which the reader zooms along x: what it draws, and says of a place, is told by those that extend it. */
class RangePlot {
  /** The narrowest range as a share of the whole one. */
  narrowest = 0.01;

  constructor(box) {
    this.box = box;
    this.target = svg("svg", { id: "plot-svg", "aria-hidden": "true" }, box);
    new ResizeObserver(() => this.draw()).observe(box);
    box.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    box.addEventListener("keydown", (event) => this.key(event));
    box.addEventListener("dblclick", () => this.reset());
    box.addEventListener("pointerdown", (event) => this.press(event));
    box.addEventListener("pointermove", (event) => this.move(event));
    box.addEventListener("pointerup", (event) => this.release(event));
    box.addEventListener("pointercancel", () => this.release(null));
  }

  set(from, to) {
    const [low, high] = this.whole;
    const length = Math.min(high - low, Math.max(this.narrowest * (high - low), to - from));
    const start = Math.min(Math.max(low, from + (to - from - length) / 2), high - length);
    this.range = [start, start + length];
    this.draw();
  }

  zoom(factor, around = (this.range[0] + this.range[1]) / 2) {
    this.set(around - (around - this.range[0]) * factor, around + (this.range[1] - around) * factor);
  }

  shift(share) {
    const [from, to] = this.range;
    const by = Math.min(Math.max(share * (to - from), this.whole[0] - from), this.whole[1] - to);
    this.set(from + by, to + by);
  }

  reset() {
    this.set(...this.whole);
  }

  place(event) {
    return event.clientX - this.box.getBoundingClientRect().left;
  }

  wheel(event) {
    if (!wheelIsMeant(this.box, event)) return;
    event.preventDefault();
    this.zoom(1.0015 ** event.deltaY, this.toX(this.place(event)));
  }

  actions() {
    return {
      "+": () => this.zoom(0.7), "=": () => this.zoom(0.7), "-": () => this.zoom(1 / 0.7),
      ArrowLeft: () => this.shift(-0.2), ArrowRight: () => this.shift(0.2),
      Home: () => this.shift(-Infinity), End: () => this.shift(Infinity),
      Escape: () => this.reset(), 0: () => this.reset(),
    };
  }

  key(event) {
    const actions = this.actions();
    if (event.ctrlKey || event.metaKey || event.altKey || !actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  }

  press(event) {
    if (event.button !== 0) return;
    this.box.setPointerCapture(event.pointerId);
    this.start = this.place(event);
    this.marked = svg("rect", { class: "chosen-range", y: 0, height: this.box.clientHeight, width: 0 }, this.target);
  }

  move(event) {
    const x = this.place(event);
    if (this.marked) {
      this.marked.setAttribute("x", Math.min(x, this.start));
      this.marked.setAttribute("width", Math.abs(x - this.start));
    }
    this.point(event);
  }

  release(event) {
    if (!this.marked) return;
    this.marked.remove();
    this.marked = null;
    if (event && Math.abs(this.place(event) - this.start) > 5) {
      const ends = [this.start, this.place(event)].map(this.toX).sort((a, b) => a - b);
      this.set(Math.max(ends[0], this.whole[0]), Math.min(ends[1], this.whole[1]));
    } else if (event) {
      this.pick(event);
    }
  }

  /** The pointer is somewhere. */
  point() {}

  /** The reader has pressed and let go without moving. */
  pick() {}
}

/** The plot of the chosen candidate. */
class FitPlot extends RangePlot {
  constructor(box, readout) {
    super(box);
    this.readout = readout;
  }

  /** Show a fit; the range of r stays as the reader chose it. */
  show(fit) {
    const whole = [fit.r[0], fit.r[fit.r.length - 1]];
    if (!this.fit || this.range[0] < whole[0] || this.range[1] > whole[1]) this.range = whole;
    [this.fit, this.whole] = [fit, whole];
    this.draw();
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.box;
    if (!this.fit || width < 100) return;
    this.toX = drawFit(this.target, this.fit, this.range, width, height, false);
    this.box.dataset.range = this.range.map((r) => r.toFixed(3)).join(" ");
  }

  /** Say the values of the point nearest to r. */
  point(event) {
    const r = this.toX(this.place(event)), index = Math.min(this.fit.r.length - 1, reach(this.fit.r, r));
    const says = (curve) => curve[index].toFixed(3).replace("-", "−");
    this.readout.textContent = `r = ${this.fit.r[index].toFixed(2)} Å: observed ${says(this.fit.observed)}, `
      + `fit ${says(this.fit.calculated)}, difference ${says(this.fit.difference)} Å⁻²`;
  }
}

/** A wheel turns the page unless the reader has clicked into the box or holds Ctrl. */
function wheelIsMeant(box, event) {
  return event.ctrlKey || box.contains(document.activeElement);
}

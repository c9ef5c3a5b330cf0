// The curve of a file with the two ends of the fitted range, to be dragged or moved by the arrow keys.

const INSET = { top: 14, right: 14, bottom: 42, left: 56 };
const SETTLED = 500; // milliseconds after the last key
let ends = null, toR = null, dragged = null, timer = 0;

const box = () => element.querySelector(".cb-range");

function drawRange() {
  const curve = props.value, target = box()?.querySelector("svg");
  if (!curve || !target || box().clientWidth < 100) return;
  const { clientWidth: width, clientHeight: height } = box();
  const r = curve.r, first = r[0], last = r[r.length - 1], [low, high] = extent([curve.g], 0, r.length - 1);
  const margin = 0.05 * (high - low) || 1, right = width - INSET.right, base = height - INSET.bottom;
  const toX = (value) => INSET.left + ((value - first) / (last - first)) * (right - INSET.left);
  const toY = (g) => INSET.top + ((high + margin - g) / (high - low + 2 * margin)) * (base - INSET.top);
  toR = (pixel) => first + ((pixel - INSET.left) / (right - INSET.left)) * (last - first);
  target.replaceChildren();
  target.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg("path", { class: "base", d: `M${INSET.left} ${toY(0)}H${right}` }, target);
  const d = polyline(0, r.length - 1, (index) => toX(r[index]), (index) => toY(curve.g[index]));
  svg("path", { class: "data", d }, target);
  const [start, end] = [toX(ends.rmin), toX(ends.rmax)];
  for (const [from, to] of [[INSET.left, start], [end, right]]) {
    svg("rect", { class: "outside", x: from, width: Math.max(0, to - from), y: INSET.top, height: base - INSET.top }, target);
  }
  drawAxes(target, [first, last], [low - margin, high + margin], toX, toY, [INSET.left, base, right, INSET.top], false);
  for (const handle of box().querySelectorAll(".cb-handle")) {
    const name = handle.dataset.end, value = ends[name];
    handle.style.left = `${toX(value)}px`;
    const limits = { valuenow: value, valuemin: first, valuemax: last };
    for (const [key, number] of Object.entries(limits)) handle.setAttribute(`aria-${key}`, number.toFixed(2));
    handle.setAttribute("aria-valuetext", `${value.toFixed(2)} Å`);
  }
  const said = `fitted from ${ends.rmin.toFixed(2)} to ${ends.rmax.toFixed(2)} Å`;
  element.querySelector(".cb-hint").textContent = `Drag the two lines, or move them by the arrow keys: ${said}.`;
}

function takeValue() {
  ends = props.value && { rmin: props.value.rmin, rmax: props.value.rmax };
  drawRange();
}

/** Move one end; it stays within the data and on its side of the other. */
function moveEnd(name, to) {
  const { r } = props.value, gap = 1;
  const [low, high] = name === "rmin" ? [r[0], ends.rmax - gap] : [ends.rmin + gap, r[r.length - 1]];
  ends[name] = Math.round(100 * Math.min(Math.max(to, low), high)) / 100;
  drawRange();
}

/** Tell the other side, once a movement has come to rest. */
function tell(name, wait) {
  clearTimeout(timer);
  timer = setTimeout(() => trigger("release", { end: name, r: ends[name] }), wait);
}

element.addEventListener("pointerdown", (event) => {
  if (!props.value || event.button !== 0 || !event.target.closest(".cb-range")) return;
  const at = event.clientX - box().getBoundingClientRect().left;
  const near = event.target.closest(".cb-handle");
  const apart = (name) => Math.abs(ends[name] - toR(at));
  dragged = near ? near.dataset.end : apart("rmin") < apart("rmax") ? "rmin" : "rmax";
  box().setPointerCapture(event.pointerId);
  box().querySelector(`[data-end=${dragged}]`).focus({ preventScroll: true });
  event.preventDefault();
});
element.addEventListener("pointermove", (event) => {
  if (dragged) moveEnd(dragged, toR(event.clientX - box().getBoundingClientRect().left));
});
element.addEventListener("pointerup", () => {
  if (dragged) tell(dragged, 0);
  dragged = null;
});
element.addEventListener("pointercancel", () => { dragged = null; });
element.addEventListener("keydown", (event) => {
  const name = event.target.dataset?.end;
  const step = { ArrowLeft: -0.1, ArrowDown: -0.1, ArrowRight: 0.1, ArrowUp: 0.1, PageDown: -1, PageUp: 1 }[event.key];
  if (!name || !step) return;
  event.preventDefault();
  moveEnd(name, ends[name] + step);
  tell(name, SETTLED);
});

watch("value", takeValue);
new ResizeObserver(drawRange).observe(element);
takeValue();

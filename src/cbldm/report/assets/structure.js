// Structures in three dimensions: by 3Dmol.js where the browser has WebGL, else as shaded discs on a plain canvas.

// Levels of fading from front to back, and size in pixels of the drawn spheres.
const LEVELS = 6, SPRITE = 64;
const sprites = new Map();

function mix(colour, other, share) {
  const part = (text, at) => parseInt(text.slice(at, at + 2), 16);
  return `rgb(${[1, 3, 5].map((at) => Math.round(part(colour, at) * (1 - share) + part(other, at) * share)).join(",")})`;
}

/** A shaded sphere, drawn once for each colour and level. */
function sprite(colour, level) {
  const key = `${colour}${level}`;
  if (!sprites.has(key)) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = SPRITE;
    const pen = canvas.getContext("2d"), half = SPRITE / 2;
    const shading = pen.createRadialGradient(0.68 * half, 0.62 * half, 0.05 * half, half, half, half);
    const faded = (other, share) => mix(colour, other, share);
    const haze = (0.4 * level) / (LEVELS - 1);
    shading.addColorStop(0, faded("#ffffff", 0.45));
    shading.addColorStop(0.35, faded("#ffffff", 0.05));
    shading.addColorStop(0.8, faded("#000000", 0.28));
    shading.addColorStop(1, faded("#000000", 0.55));
    pen.fillStyle = shading;
    pen.beginPath();
    pen.arc(half, half, half - 1, 0, 2 * Math.PI);
    pen.fill();
    pen.globalCompositeOperation = "source-atop";
    pen.fillStyle = `rgba(150,158,166,${haze})`;
    pen.fillRect(0, 0, SPRITE, SPRITE);
    sprites.set(key, canvas);
  }
  return sprites.get(key);
}

/** (x, y, z) rows times a matrix of three rows. */
function turned(points, matrix) {
  return points.map((p) => [0, 1, 2].map((k) => p[0] * matrix[0][k] + p[1] * matrix[1][k] + p[2] * matrix[2][k]));
}

/** Draw spheres from back to front; the canvas takes the size of its box. */
function drawSpheres(canvas, points, colours, radius, zoom = 1) {
  const ratio = Math.max(2, window.devicePixelRatio || 1);
  const width = (canvas.width = Math.round(ratio * canvas.clientWidth));
  const height = (canvas.height = Math.round(ratio * canvas.clientHeight));
  const pen = canvas.getContext("2d");
  const far = Math.max(...points.map((p) => Math.hypot(...p))) + radius;
  const scale = (0.48 * zoom * Math.min(width, height)) / far;
  const order = points.map((_, index) => index).sort((a, b) => points[a][2] - points[b][2]);
  for (const index of order) {
    const [x, y, z] = points[index];
    const level = Math.min(LEVELS - 1, Math.floor((LEVELS * (far - z)) / (2 * far)));
    const size = 2 * radius * scale;
    pen.drawImage(sprite(colours[index], level), width / 2 + x * scale - size / 2, height / 2 - y * scale - size / 2, size, size);
  }
}

/** The view for browsers without WebGL. */
class PlainView {
  constructor(box) {
    this.canvas = document.createElement("canvas");
    box.append(this.canvas);
    new ResizeObserver(() => this.draw()).observe(box);
    this.reset();
  }

  show(atoms, colours, radius) {
    Object.assign(this, { atoms, colours, radius });
    this.draw();
  }

  turn(degrees, axis) {
    const angle = (degrees * Math.PI) / 180, c = Math.cos(angle), s = Math.sin(angle);
    const by = axis === "x" ? [[1, 0, 0], [0, c, s], [0, -s, c]] : [[c, 0, -s], [0, 1, 0], [s, 0, c]];
    this.matrix = turned(this.matrix, by);
    this.draw();
  }

  zoom(factor) {
    this.scale *= factor;
    this.draw();
  }

  reset() {
    this.matrix = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
    this.scale = 1;
    this.draw();
  }

  draw() {
    if (this.atoms) drawSpheres(this.canvas, turned(this.atoms, this.matrix), this.colours, this.radius, this.scale);
  }
}

/** The view by 3Dmol.js. */
class WebglView {
  constructor(box) {
    const config = { backgroundAlpha: 0, antialias: true, orthographic: true, disableFog: true };
    this.viewer = window.$3Dmol.createViewer(box, config);
    new ResizeObserver(() => this.viewer.resize()).observe(box);
  }

  show(atoms, colours, radius) {
    const same = this.atoms === atoms;
    this.atoms = atoms;
    if (!same) {
      const seen = this.model && this.viewer.getView();
      this.viewer.removeAllModels();
      this.model = this.viewer.addModel();
      this.model.addAtoms(atoms.map(([x, y, z], index) => ({ elem: "X", x, y, z, serial: index, index, bonds: [], bondOrder: [] })));
      this.turnedTo = seen ? seen.slice(4) : null;
    }
    this.model.setStyle({}, { sphere: { radius, colorfunc: (atom) => colours[atom.serial] } });
    if (!same) {
      this.viewer.zoomTo();
      this.viewer.zoom(1.2);
      this.first = this.viewer.getView();
      if (this.turnedTo) this.viewer.setView([...this.first.slice(0, 4), ...this.turnedTo]);
    }
    this.viewer.render();
  }

  turn(degrees, axis) {
    this.viewer.rotate(degrees, axis);
  }

  zoom(factor) {
    this.viewer.zoom(factor);
  }

  reset() {
    this.viewer.setView(this.first);
  }
}

/** The colour of each atom: its class is one digit of a string. */
function coloursOf(key, classes) {
  return Array.from(classes, (digit) => key[Number(digit)].colour);
}

/** Say what the colours mean that some atom has. */
function showKey(box, key, classes) {
  box.replaceChildren(...key.flatMap(({ label, colour }, index) => {
    if (!classes.includes(String(index))) return [];
    const entry = document.createElement("span");
    entry.className = "entry";
    const dot = svg("svg", { viewBox: "0 0 12 12", "aria-hidden": "true" }, entry);
    svg("circle", { cx: 6, cy: 6, r: 5.5, fill: colour, stroke: "#0004" }, dot);
    entry.append(label);
    return [entry];
  }));
}

/** The view of a box, by 3Dmol.js where the browser can. */
async function openView(box) {
  let plain = !hasWebgl();
  if (!plain) {
    const script = document.createElement("script");
    script.textContent = await unpack("viewer-code");
    document.head.append(script);
    plain = !window.$3Dmol;
  }
  const view = plain ? new PlainView(box) : new WebglView(box);
  box.dataset.drawnBy = plain ? "canvas" : "3Dmol";
  steer(box, view, plain);
  return view;
}

function hasWebgl() {
  const canvas = document.createElement("canvas");
  return Boolean(canvas.getContext("webgl2") || canvas.getContext("webgl"));
}

/** Keys, drag and wheel of a view; 3Dmol.js does drag and wheel itself. */
function steer(box, view, plain) {
  box.addEventListener("keydown", (event) => {
    const actions = {
      ArrowLeft: () => view.turn(-10, "y"), ArrowRight: () => view.turn(10, "y"),
      ArrowUp: () => view.turn(-10, "x"), ArrowDown: () => view.turn(10, "x"),
      "+": () => view.zoom(1.2), "=": () => view.zoom(1.2), "-": () => view.zoom(1 / 1.2),
      Escape: () => view.reset(), 0: () => view.reset(),
    };
    if (event.ctrlKey || event.metaKey || event.altKey || !actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  });
  const options = { capture: true, passive: false };
  box.addEventListener("wheel", (event) => {
    if (!wheelIsMeant(box, event)) event.stopPropagation();
    else if (plain) {
      event.preventDefault();
      view.zoom(1.0015 ** -event.deltaY);
    }
  }, options);
  box.addEventListener("pointerdown", (event) => {
    box.focus({ preventScroll: true });
    if (plain) box.setPointerCapture(event.pointerId);
  });
  box.addEventListener("pointermove", (event) => {
    if (!plain || !event.buttons) return;
    view.turn(event.movementX * 0.6, "y");
    view.turn(event.movementY * 0.6, "x");
  });
}

// What every page does: light or dark, and unpacking what it carries.

const byId = (id) => document.getElementById(id);
const dark = window.matchMedia("(prefers-color-scheme: dark)");

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  byId("theme")?.setAttribute("aria-pressed", String(name === "dark"));
}

setTheme(dark.matches ? "dark" : "light");
dark.addEventListener("change", () => setTheme(dark.matches ? "dark" : "light"));
document.addEventListener("DOMContentLoaded", () => {
  setTheme(document.documentElement.dataset.theme);
  byId("theme")?.addEventListener("click", () => {
    setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  });
});

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

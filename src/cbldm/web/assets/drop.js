// Files leave the page inside an event, as base64; names are told and mean nothing to the other side.

const says = (text) => { element.querySelector(".cb-says").textContent = text; };

const readFile = (file) => new Promise((done, failed) => {
  const reader = new FileReader();
  reader.onload = () => done({ name: file.name, data: reader.result.slice(reader.result.indexOf(",") + 1) });
  reader.onerror = () => failed(new Error(`${file.name} cannot be read`));
  reader.readAsDataURL(file);
});

async function send(list) {
  const files = [...list];
  if (!files.length) return;
  const size = files.reduce((sum, file) => sum + file.size, 0);
  if (size > props.bytes) {
    says(`That is ${(size / 1e6).toPrecision(3)} MB; at most ${props.bytes / 1e6} MB are taken at once.`);
    return;
  }
  says("");
  try {
    trigger("upload", { files: await Promise.all(files.map(readFile)) });
  } catch (error) {
    says(`${error.message}. Folders cannot be dropped, only files.`);
  }
}

element.addEventListener("change", (event) => {
  if (event.target.type !== "file") return;
  send(event.target.files);
  event.target.value = "";
});
const zone = () => element.querySelector(".cb-drop");
// A file that misses the zone must not replace the page.
for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => event.preventDefault());
element.addEventListener("dragover", () => zone().classList.add("over"));
element.addEventListener("dragleave", () => zone().classList.remove("over"));
element.addEventListener("drop", (event) => {
  zone().classList.remove("over");
  send(event.dataTransfer.files);
});

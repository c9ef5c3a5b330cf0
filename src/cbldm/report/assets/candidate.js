// A page of one candidate: its structure, and its fit where the page has a place for it.

document.addEventListener("DOMContentLoaded", async () => {
  const content = JSON.parse(await unpack("payload")), candidate = content.candidates[0];
  if (byId("plot")) {
    const fit = readFit(content.files[candidate.fgr], candidate.rank);
    if (candidate.background) fit.background = Float64Array.from(candidate.background);
    new FitPlot(byId("plot"), byId("readout")).show(fit);
  }
  const atoms = readAtoms(content.files[candidate.xyz], candidate.view), key = content.keys.neighbours;
  const view = await openView(byId("structure"));
  view.show(atoms, coloursOf(key, candidate.neighbours), 0.96 * candidate.radius);
  showKey(byId("key"), key, candidate.neighbours);
  document.documentElement.dataset.ready = "yes";
});

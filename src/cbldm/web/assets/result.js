// The report in a frame that can see and change nothing of this page; its own policy forbids it every request.

let shown = "";

async function showResult() {
  const value = props.value, part = element.querySelector(".cb-result");
  part.hidden = !value;
  if (!value) { shown = ""; return; }
  const link = part.querySelector(".cb-download"), frame = part.querySelector("iframe");
  link.href = value.archive;
  link.download = value.name;
  if (shown === value.report && frame.srcdoc) return;
  shown = value.report;
  const answer = await fetch(value.report);
  if (shown !== value.report) return;
  frame.srcdoc = answer.ok ? await answer.text() : "The report is gone: the app forgot this page. Solve the file again.";
}

watch("value", showResult);
showResult();

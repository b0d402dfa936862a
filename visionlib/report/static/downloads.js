// Downloads of tables and records, made from the data of the page.

const FORMULA_STARTS = "=+-@＝＋－＠";

// Text that a spreadsheet would compute gets an apostrophe in front; see OWASP, CSV Injection.
function csvCell(value) {
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : "";
  if (value === null || value === undefined) return "";
  const text = String(value);
  const first = text.trimStart()[0];
  const safe = (first !== undefined && FORMULA_STARTS.includes(first)) || text.startsWith("'") ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

const toCsv = (rows) => rows.map((row) => `${row.map(csvCell).join(",")}\r\n`).join("");

function imagesCsv() {
  const header = ["index", "source", "true", "predicted", "confidence", "true_probability", "margin", "loss"];
  const rows = [];
  for (let record = 0; record < records.n; record++) {
    const figures = [confidence(record), trueProbability(record), margin(record)].map((value) => Number(value.toFixed(5)));
    rows.push([records.index[record], sourceOf(record) || null, classes[records.label[record]], classes[predicted(record)], ...figures,
      Number(records.loss[record].toFixed(6))]);
  }
  return toCsv([header, ...rows]);
}

function classesCsv() {
  const fields = ["class", "n", "correct", "accuracy", "low", "high", "precision", "f1"];
  const rows = readJson("evaluation-json").per_class.map((entry) => [
    ...[entry.class, entry.n, entry.correct, entry.accuracy],
    ...(entry.confidence_interval || [null, null]),
    ...[entry.precision, entry.f1],
  ]);
  return toCsv([fields, ...rows]);
}

const DOWNLOADS = {
  "evaluation.json": () => `${JSON.stringify(readJson("evaluation-json"), null, 2)}\n`,
  "config.json": () => `${JSON.stringify(readJson("config-json"), null, 2)}\n`,
  "images.csv": imagesCsv,
  "classes.csv": classesCsv,
};

function startDownloads() {
  for (const button of document.querySelectorAll("button[data-download]")) {
    button.addEventListener("click", () => {
      const name = button.dataset.download;
      const kind = name.endsWith(".json") ? "application/json" : "text/csv";
      const address = URL.createObjectURL(new Blob([DOWNLOADS[name]()], { type: kind }));
      const link = make("a", { href: address, download: name });
      link.click();
      setTimeout(() => URL.revokeObjectURL(address), 10_000);
    });
  }
}

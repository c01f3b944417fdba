/** The report as text: the machine, then one line for each goal of each row. */
export function reportText({ machine, notes, settings, results }) {
  const lines = [
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB`,
    `Node ${machine.node}, V8 ${machine.v8}, gcc ${machine.gcc ?? "-"}, glib ${machine.glib ?? "-"}`,
    `${settings.runs} processes, ${settings.windows} windows of ${settings.windowNs / 1e6} ms each: ` +
      "medians, and the ratio's median with the least and most of the processes",
    "",
    ...notes.map((note) => `note: ${note}`),
    ...(notes.length > 0 ? [""] : []),
    ...table([HEADER, ...results.flatMap(resultLines)]),
    "",
    "ideal: ideal C loop. glib: C with a locked glib hash table, 1024 entries. Ratios hold inside one process.",
    "peer: QEMU 10.2, measured elsewhere on such a machine; for orientation, not a comparison.",
  ];
  return lines.join("\n");
}

const HEADER = ["row", "viommu", "ideal", "glib", "goal", "reached", "spread", "", "peer"];

function resultLines(result) {
  const { title, unit, lanes, goals, peer } = result;
  const values = ["viommu", "ideal", "glib"].map((lane) =>
    lanes[lane] === undefined ? "" : quantity(lanes[lane].median, unit),
  );
  if (goals.length === 0) return [[title, ...values, "", "", "", "", peer ?? ""]];
  return goals.map(({ goal, median, least, most, ok }, i) => {
    const isRatio = goal.includes("x ");
    const show = (value) => (isRatio ? `${digits(value)}x` : quantity(value, unit));
    return [
      ...(i === 0 ? [title, ...values] : ["", "", "", ""]),
      goal,
      show(median),
      `${show(least)} - ${show(most)}`,
      ok ? "ok" : "NOT",
      i === 0 ? (peer ?? "") : "",
    ];
  });
}

function quantity(value, unit) {
  return unit === "" ? String(value) : `${digits(value)} ${unit}`;
}

function digits(value) {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]))
      .join("  ")
      .trimEnd(),
  );
}

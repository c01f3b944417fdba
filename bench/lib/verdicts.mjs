import { summary } from "./stats.mjs";

/**
 * What the runs say about one row. `runs` holds all rows of each process: `{ [row]: { [lane]: value } }`.
 * Returns the lanes' values, our ratios to the other lanes and, for each goal, what was reached, each
 * as median, least and most; a goal whose other side was not measured is left out. Null, when the row
 * was not measured.
 */
export function judgeRow(row, runs) {
  const own = runs.filter((rows) => rows[row.id] !== undefined);
  if (own.length === 0) return null;
  const names = Object.keys(own[0][row.id]);
  const overRuns = (of) => summary(own.map((rows) => of(rows[row.id])));
  const lanes = Object.fromEntries(names.map((name) => [name, overRuns((run) => run[name])]));
  const ratios = Object.fromEntries(
    names
      .filter((name) => name !== "viommu")
      .map((name) => [name, overRuns((run) => run.viommu / run[name])]),
  );
  const goals = row.goals.flatMap((goal) => {
    const values = own.map((rows) => reached(goal, row, rows));
    if (values.includes(undefined)) return [];
    const result = summary(values);
    return [{ goal: goalText(goal, row), ...result, ok: result.median <= goal.atMost }];
  });
  return {
    id: row.id,
    title: row.title,
    unit: row.unit ?? "ns",
    lanes,
    ratios,
    goals,
    peer: row.peer ?? null,
  };
}

function reached({ against, row: otherRow }, row, rows) {
  const value = rows[row.id].viommu;
  if (against !== undefined) return ratio(value, rows[row.id][against]);
  if (otherRow !== undefined) return ratio(value, rows[otherRow]?.viommu);
  return value;
}

function ratio(value, other) {
  return other === undefined ? undefined : value / other;
}

function goalText({ against, row: otherRow, atMost }, row) {
  if (against !== undefined) return `<= ${atMost}x ${against}`;
  if (otherRow !== undefined) return `<= ${atMost}x row ${otherRow}`;
  return `<= ${atMost} ${row.unit ?? "ns"}`;
}

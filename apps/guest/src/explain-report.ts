import type { Comparison, ExplainedStep, Explanation } from "@viommu/trace";
import Table from "cli-table3";
import { wrap } from "./text.ts";

/** An explanation for people: request, each step with its fields, the end and why. */
export function explanationText(explanation: Explanation, columns: number): string {
  const { trace, event, line, kind, request, steps, verdict, fault, unit, agrees } = explanation;
  const lines = [
    `${trace}, event ${event} (line ${line}, ${kind})`,
    wrap(request, columns, "  "),
    "",
    ...steps.flatMap((step) => stepLines(step, columns)),
    wrap(`result: ${verdict}`, columns, ""),
  ];
  if (fault !== undefined) {
    lines.push(
      wrap(`fault reason ${fault.name}: VT-d ${fault.chapter}, ${fault.text}`, columns, ""),
    );
  }
  if (unit !== undefined) {
    const same = agrees ? "the same" : `DIFFERENT, it answers ${unit}`;
    const hint = agrees ? "" : " (a cached translation outlives its table entry)";
    lines.push(wrap(`the unit: ${same}${hint}`, columns, ""));
  }
  lines.push(...explanation.comparisons.map((entry) => comparisonLine(entry, columns)));
  return `${lines.join("\n")}\n`;
}

function stepLines(step: ExplainedStep, columns: number): string[] {
  const { name, chapter, address, words, fields, note } = step;
  const place = address === undefined ? "" : ` at ${address}`;
  const lines = [wrap(`${name}${place} (VT-d ${chapter})`, columns, "")];
  if (words.length > 0) lines.push(wrap(words.join(" "), columns, "  "));
  if (fields.length > 0) {
    const table = new Table({ style: { head: [], border: [], compact: true }, chars: NO_LINES });
    for (const field of fields) table.push([`  ${field.name}`, field.value, field.doc]);
    lines.push(table.toString().replace(/ +$/gm, ""));
  }
  if (note !== "") lines.push(wrap(`-> ${note}`, columns, "  "));
  return [...lines, ""];
}

const NO_LINES = Object.fromEntries(
  [
    ...["top", "top-mid", "top-left", "top-right"],
    ...["bottom", "bottom-mid", "bottom-left", "bottom-right"],
    ...["left", "left-mid", "mid", "mid-mid", "right", "right-mid", "middle"],
  ].map((name) => [name, ""]),
);

function comparisonLine(comparison: Comparison, columns: number): string {
  const { class: of, verdict, deviations, expected, actual } = comparison;
  switch (verdict) {
    case "equal":
      return wrap(`trace and unit agree (${of}): ${expected}`, columns, "");
    case "accepted":
      return wrap(
        `accepted (${of}, ${deviations.join(", ")}): the trace has ${expected}, the unit ${actual}`,
        columns,
        "",
      );
    case "different":
      return wrap(`DIFFERENT (${of}): the trace has ${expected}, the unit ${actual}`, columns, "");
  }
}

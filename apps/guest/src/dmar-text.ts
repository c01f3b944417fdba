import type { DeviceScope, Dmar, DmarStructure, Problem, Unknown } from "@viommu/acpi";
import { plural, wrap } from "./text.ts";

/** A decoded table and what is wrong with it, for people. */
export function dmarText(
  table: Dmar,
  problems: readonly Problem[],
  length: number,
  columns: number,
): string {
  const { header, hostAddressWidth, flags, structures } = table;
  const origin =
    header === undefined ? "" : ` by ${header.oemId.trim()} ${header.oemTableId.trim()}`;
  const lines = [
    wrap(
      `DMAR, ${plural(length, "byte")}${origin}: host addresses of ${hostAddressWidth} bits${list(flags)}`,
      columns,
      "",
    ),
    ...structures.flatMap((structure) => structureLines(structure, columns)),
    ...problems.map(({ offset, structure, text }) =>
      wrap(`PROBLEM at byte ${hex(offset)}, ${structure}: ${text}`, columns, ""),
    ),
    problems.length === 0 ? "OK: no problem" : `FAILED: ${plural(problems.length, "problem")}`,
  ];
  return `${lines.join("\n")}\n`;
}

/** The table without typed arrays, which JSON shows as maps. */
export function tableJson(table: Dmar): unknown {
  return JSON.parse(
    JSON.stringify(table, (_, value: unknown) =>
      value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value,
    ),
  );
}

function structureLines(structure: DmarStructure, columns: number): string[] {
  const scopes = "scopes" in structure ? structure.scopes : [];
  return [
    wrap(`${structure.type} ${detail(structure)}`, columns, ""),
    ...scopes.map((scope) => wrap(scopeText(scope), columns, "  ")),
  ];
}

function detail(structure: DmarStructure): string {
  switch (structure.type) {
    case "DRHD": {
      const { registerBase, size, segment, flags } = structure;
      return `unit at ${hex(registerBase)}, ${4 * 2 ** size} KiB of registers, segment ${segment}${list(flags)}`;
    }
    case "RMRR":
      return `memory ${hex(structure.base)}-${hex(structure.limit)}, segment ${structure.segment}`;
    case "ATSR":
    case "SATC":
      return `segment ${structure.segment}${list(structure.flags)}`;
    case "RHSA":
      return `unit at ${hex(structure.registerBase)}, proximity domain ${structure.proximityDomain}`;
    case "ANDD":
      return `ACPI device ${structure.deviceNumber}, ${structure.objectName}`;
    case "SIDP":
      return `segment ${structure.segment}`;
    case "UNKNOWN":
      return unknownText(structure);
  }
}

/** "IOAPIC 0 at ff:00.0"; the path over bridges as "00:1c.0/00.0". */
function scopeText(scope: DeviceScope | Unknown): string {
  if (scope.type === "UNKNOWN") return `UNKNOWN ${unknownText(scope)}`;
  const { type, enumerationId, startBus, path, flags } = scope;
  const number = type.startsWith("PCI") ? "" : ` ${enumerationId}`;
  const steps = path.map(({ device, function: fn }) => `${byte(device)}.${fn}`).join("/");
  return `${type}${number} at ${byte(startBus)}:${steps}${list(flags)}`;
}

const unknownText = ({ code, bytes }: Unknown): string =>
  `type ${code}, ${plural(bytes.length, "byte")}: ${Buffer.from(bytes).toString("hex")}`;
const hex = (value: number): string => `0x${value.toString(16)}`;
const byte = (value: number): string => value.toString(16).padStart(2, "0");
const list = (flags: readonly string[]): string =>
  flags.length === 0 ? "" : `, ${flags.join(", ")}`;

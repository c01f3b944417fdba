import { ViommuError } from "@viommu/plugin";
import type { TraceHeader } from "./format.ts";
import { isObject, Members, shorten } from "./members.ts";

/** `format` and `version` of the traces that this package reads and writes. */
export const FORMAT = "viommu-trace";
export const VERSION = 1;

/** Line 1: the header and the number of events it announces, by kind. */
export interface ParsedHeader {
  readonly header: TraceHeader;
  readonly announced: ReadonlyMap<string, number>;
}

/**
 * Reads line 1. Throws ERR_VIOMMU_TRACE_FORMAT (no trace), ERR_VIOMMU_TRACE_VERSION (a version this
 * package does not know), ERR_VIOMMU_TRACE_EVENT (a wrong member).
 */
export function parseHeader(json: unknown): ParsedHeader {
  if (!isObject(json) || json.format !== FORMAT) {
    const found = isObject(json) ? text(json.format) : "no object";
    throw new ViommuError(
      "ERR_VIOMMU_TRACE_FORMAT",
      `line 1: "format" is ${found}, a trace has "${FORMAT}"; give a viommu trace`,
    );
  }
  if (json.version !== VERSION) {
    throw new ViommuError(
      "ERR_VIOMMU_TRACE_VERSION",
      `line 1: "version" is ${text(json.version)}, this program reads ${VERSION}; record the trace again, or use the program that recorded it`,
    );
  }
  const line = new Members(1, json, "header");
  const unit = line.object("unit");
  const options = optional(unit, "options");
  const guest = optional(line, "guest");
  const reference = optional(line, "reference");
  const header: TraceHeader = {
    name: line.text("name"),
    guest: {
      os: optionalText(guest, "os"),
      version: optionalText(guest, "version"),
      vcpus: guest?.gives("vcpus") ? guest.integer("vcpus", 1, 0xffff_ffff) : 1,
      cmdline: optionalText(guest, "cmdline"),
    },
    reference: {
      name: optionalText(reference, "name"),
      version: optionalText(reference, "version"),
    },
    unit: {
      base: unit.hex("base"),
      cap: unit.hex("cap"),
      ecap: unit.hex("ecap"),
      ver: unit.number("ver"),
      addressWidth: options?.gives("aw-bits") ? options.integer("aw-bits", 30, 64) : undefined,
    },
    devices: line
      .objects("devices")
      .map((device) => ({ sid: device.sourceId("sid"), name: device.text("name") })),
    ioapic: readIoApic(optional(line, "ioapic")),
    workload: optionalText(line, "workload"),
  };
  return { header, announced: readCounts(optional(line, "events")) };
}

function text(value: unknown): string {
  return value === undefined ? "missing" : shorten(JSON.stringify(value));
}

function optional(members: Members, name: string): Members | undefined {
  return members.gives(name) ? members.object(name) : undefined;
}

function optionalText(members: Members | undefined, name: string): string {
  return members?.gives(name) ? members.text(name) : "";
}

function readIoApic(ioapic: Members | undefined): TraceHeader["ioapic"] {
  return ioapic && { id: ioapic.integer("id", 0, 0xff), sid: ioapic.sourceId("sid") };
}

function readCounts(events: Members | undefined): Map<string, number> {
  const names = events?.names() ?? [];
  return new Map(names.map((name) => [name, events!.integer(name, 0, Number.MAX_SAFE_INTEGER)]));
}

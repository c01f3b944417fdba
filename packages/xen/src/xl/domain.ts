import { readDisks } from "./disk-entry.ts";
import type { XlDisk } from "./disk-entry.ts";
import { quoted } from "./error.ts";
import { isXlKey } from "./known-keys.ts";
import { readPci } from "./pci-entry.ts";
import type { XlPci } from "./pci-entry.ts";
import { SettingReader } from "./setting-reader.ts";
import type { XlConfig, XlPosition } from "./value.ts";
import { readVifs } from "./vif-entry.ts";
import type { XlVif } from "./vif-entry.ts";
import { readViommu } from "./viommu-entry.ts";
import type { XlViommu } from "./viommu-entry.ts";

/** Kind of a guest. */
export type XlGuestType = "hvm" | "pvh" | "pv";

/** A setting that was not used. */
export interface XlIgnored extends XlPosition {
  readonly name: string;
  /** xl knows it, but it says nothing about this machine; xl does not know it; a later one replaces it. */
  readonly reason: "no effect" | "unknown" | "replaced";
}

/** What an xl.cfg says about the machine of a guest, with the defaults of xl. */
export interface XlDomain {
  readonly name: string;
  readonly type: XlGuestType;
  /** vCPUs that run from the start. */
  readonly vcpus: number;
  /** vCPUs that the guest may bring up. */
  readonly maxvcpus: number;
  /** MiB from the start. */
  readonly memory: number;
  /** MiB that the guest may get. */
  readonly maxmem: number;
  /** Null: no unit, and no DMAR table. */
  readonly viommu: XlViommu | null;
  readonly pci: readonly XlPci[];
  readonly disks: readonly XlDisk[];
  readonly vifs: readonly XlVif[];
  /** In the order of the file. */
  readonly ignored: readonly XlIgnored[];
}

const MOST_VCPUS = 65_536;
const MOST_MIB = 2 ** 32;
/** Without `memory`, libxl builds a guest of this size. */
const DEFAULT_MIB = 32;

/**
 * The guest that the settings of a file mean. Throws {@link XlError} (ERR_VIOMMU_XL_VALUE) with all
 * that is wrong. Values of a wrong kind, which xl skips with a warning, are refused too.
 */
export function readXlDomain(config: XlConfig): XlDomain {
  const reader = new SettingReader(config);
  const name = nameOf(reader);
  const type = typeOf(reader);
  const vcpus = reader.number("vcpus", 1, MOST_VCPUS, 1);
  const maxvcpus = reader.number("maxvcpus", 1, MOST_VCPUS, vcpus);
  if (maxvcpus < vcpus) {
    const remedy = "make it as large, or leave it out";
    reader.refuse(
      reader.placeOf("maxvcpus"),
      `"maxvcpus" is less than the ${vcpus} of vcpus`,
      remedy,
    );
  }
  const memory = reader.number("memory", 1, MOST_MIB, DEFAULT_MIB);
  const maxmem = reader.number("maxmem", 1, MOST_MIB, memory);
  if (maxmem < memory) {
    const remedy = "make it as large, or leave it out";
    reader.refuse(
      reader.placeOf("maxmem"),
      `"maxmem" is less than the ${memory} of memory`,
      remedy,
    );
  }
  const viommu = readViommu(reader);
  if (viommu !== null && type === "pv") {
    const remedy = 'write type="hvm" or type="pvh"';
    reader.refuse(viommu, '"viommu" is for a guest with ACPI tables, and this one is PV', remedy);
  }
  const pci = readPci(reader);
  const disks = readDisks(reader);
  const vifs = readVifs(reader);
  reader.finish();
  const ignored = ignoredOf(config, reader);
  return { name, type, vcpus, maxvcpus, memory, maxmem, viommu, pci, disks, vifs, ignored };
}

function nameOf(reader: SettingReader): string {
  const atom = reader.string("name");
  if (atom !== undefined && atom.text !== "") return atom.text;
  reader.refuse(reader.placeOf("name"), '"name" is missing', 'write name = "…"');
  return "";
}

/** PV unless told, as on all of x86. */
function typeOf(reader: SettingReader): XlGuestType {
  const type = reader.string("type");
  const builder = reader.string("builder");
  const fromType = (["hvm", "pvh", "pv"] as const).find((known) => known === type?.text);
  if (type !== undefined && fromType === undefined) {
    reader.refuse(type, `"type" is ${quoted(type.text)}`, "give hvm, pvh or pv");
  }
  if (builder === undefined) return fromType ?? "pv";
  const fromBuilder = builder.text === "hvm" ? "hvm" : "pv";
  if (builder.text !== "hvm" && builder.text !== "generic") {
    reader.refuse(
      builder,
      `"builder" is ${quoted(builder.text)}`,
      "give hvm or generic, or use type",
    );
  } else if (fromType !== undefined && fromType !== fromBuilder) {
    reader.refuse(
      builder,
      `"builder" makes this guest ${fromBuilder}, and "type" ${fromType}`,
      "keep type",
    );
  }
  return fromType ?? fromBuilder;
}

function ignoredOf({ replaced }: XlConfig, reader: SettingReader): XlIgnored[] {
  const unread = reader.unread().map(({ name, line, column }): XlIgnored => ({
    ...{ name, line, column },
    reason: isXlKey(name) ? "no effect" : "unknown",
  }));
  const earlier = replaced.map(({ name, line, column }): XlIgnored => ({
    ...{ name, line, column },
    reason: "replaced",
  }));
  return [...unread, ...earlier].sort((a, b) => a.line - b.line || a.column - b.column);
}

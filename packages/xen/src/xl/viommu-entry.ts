import { quoted } from "./error.ts";
import { optionFlag, optionsOf, refuseValue } from "./option-list.ts";
import type { XlOption } from "./option-list.ts";
import { xlNumber } from "./setting-reader.ts";
import type { SettingReader } from "./setting-reader.ts";
import type { XlAtom, XlPosition } from "./value.ts";

/** Where the registers are unless the entry says it, as in the Xen series. */
const DEFAULT_BASE = 0xfed9_0000;

/** An entry of `viommu`: a remapping unit for the whole guest. */
export interface XlViommu extends XlPosition {
  readonly type: "intel_vtd";
  /** Remaps interrupts (true). */
  readonly intremap: boolean;
  /** Remaps DMA (true). */
  readonly dmaremap: boolean;
  /** Extended interrupt mode: 32-bit APIC ids (as `intremap`). */
  readonly eim: boolean;
  /** The guest invalidates what becomes present, too (false). */
  readonly cachingMode: boolean;
  /** Widest DMA address in bits; null: as the memory of the guest needs it. */
  readonly addressWidth: 39 | 48 | 57 | null;
  /** Guest-physical address of the registers. */
  readonly base: number;
}

interface Draft {
  intremap: boolean;
  dmaremap: boolean;
  eim: boolean | null;
  cachingMode: boolean;
  addressWidth: 39 | 48 | 57 | null;
  base: number;
}

type ReadOption = (draft: Draft, option: XlOption, reader: SettingReader) => void;

/** The keys behind `type`. */
const OPTIONS: Readonly<Record<string, ReadOption>> = {
  intremap: (draft, option, reader) => {
    draft.intremap = optionFlag(option, reader);
  },
  dmaremap: (draft, option, reader) => {
    draft.dmaremap = optionFlag(option, reader);
  },
  eim: (draft, option, reader) => {
    draft.eim = optionFlag(option, reader);
  },
  caching_mode: (draft, option, reader) => {
    draft.cachingMode = optionFlag(option, reader);
  },
  address_width: (draft, option, reader) => {
    const width = xlNumber(option.value);
    if (width === 39 || width === 48 || width === 57) draft.addressWidth = width;
    else refuseValue(option, "give 39, 48 or 57", reader);
  },
  base: (draft, option, reader) => {
    const base = xlNumber(option.value);
    if (base !== null && base > 0 && base < 2 ** 52 && base % 4096 === 0) draft.base = base;
    else refuseValue(option, "give an address, a multiple of 0x1000", reader);
  },
};

/** The entry of `viommu`; null when there is none, which means no unit and no DMAR table. */
export function readViommu(reader: SettingReader): XlViommu | null {
  const [entry, ...more] = reader.strings("viommu");
  if (entry === undefined) return null;
  for (const extra of more) {
    reader.refuse(extra, '"viommu" has a second entry, and xl creates one unit', "keep one entry");
  }
  return readEntry(entry, reader);
}

function readEntry(entry: XlAtom, reader: SettingReader): XlViommu {
  const { line, column } = entry;
  const [type, ...options] = optionsOf(entry);
  if (type!.key !== "type") {
    reader.refuse(
      type!,
      `"viommu" begins with ${quoted(type!.key ?? type!.value)}`,
      "begin it with type=intel_vtd",
    );
  } else if (type!.value !== "intel_vtd") {
    refuseValue(type!, "give intel_vtd, the only type there is", reader);
  }
  const draft: Draft = {
    intremap: true,
    dmaremap: true,
    eim: null,
    cachingMode: false,
    addressWidth: null,
    base: DEFAULT_BASE,
  };
  for (const option of options) readOption(draft, option, reader);
  const { intremap, dmaremap, eim, cachingMode, addressWidth, base } = draft;
  if (!intremap && !dmaremap) {
    reader.refuse(
      entry,
      'the unit of "viommu" remaps neither interrupts nor DMA',
      "leave one of them on, or leave out viommu",
    );
  }
  if (eim === true && !intremap) {
    reader.refuse(entry, '"viommu" has eim without intremap', "set intremap=1, or leave out eim");
  }
  return {
    ...{ line, column, type: "intel_vtd", intremap, dmaremap },
    eim: eim ?? intremap,
    ...{ cachingMode, addressWidth, base },
  };
}

function readOption(draft: Draft, option: XlOption, reader: SettingReader): void {
  const { key, value } = option;
  if (key === null && value === "") return; // a comma at the end
  const read = key !== null && Object.hasOwn(OPTIONS, key) ? OPTIONS[key] : undefined;
  if (read !== undefined) read(draft, option, reader);
  else {
    const remedy = `use ${Object.keys(OPTIONS).join("=, ")}=`;
    reader.refuse(option, `"viommu" has no key ${quoted(key ?? value)}`, remedy);
  }
}

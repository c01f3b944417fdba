import { quoted } from "./error.ts";
import { optionFlag, optionsOf, refuseValue } from "./option-list.ts";
import type { XlOption } from "./option-list.ts";
import type { SettingReader } from "./setting-reader.ts";
import type { XlAtom, XlPosition } from "./value.ts";

/** An entry of `pci`: a device of the host that the guest gets. */
export interface XlPci extends XlPosition {
  /** Where it is in the host; null when `name` tells it. */
  readonly address: XlPciAddress | null;
  /** A device by the name that the host has given it. */
  readonly name: string | null;
  /** Slot in the guest, on bus 0; null: the next free one. */
  readonly slot: number | null;
  readonly permissive: boolean;
  readonly msitranslate: boolean;
  readonly seize: boolean;
  readonly powerManagement: boolean;
  /** What becomes of reserved memory (RMRR) that lies in the guest's memory; null: as `rdm` says. */
  readonly rdmPolicy: "strict" | "relaxed" | null;
}

/** Segment, bus, device and function; function null means all of the device. */
export interface XlPciAddress {
  readonly segment: number;
  readonly bus: number;
  readonly device: number;
  readonly function: number | null;
}

type Draft = { -readonly [K in keyof XlPci]: XlPci[K] };
type ReadOption = (draft: Draft, option: XlOption, reader: SettingReader) => void;

const ADDRESS =
  /^(?:([0-9a-f]{1,4}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})\.(?:([0-7])|\*)(?:@([0-9a-f]{1,2}))?$/i;
const LAST_DEVICE = 31;

const OPTIONS: Readonly<Record<string, ReadOption>> = {
  bdf: (draft, option, reader) => {
    readAddress(draft, option, reader);
  },
  vslot: (draft, option, reader) => {
    draft.slot = slotOf(option.value);
    if (draft.slot === null) refuseValue(option, "give a slot from 0 to 1f", reader);
  },
  name: (draft, option) => {
    draft.name = option.value;
  },
  permissive: (draft, option, reader) => {
    draft.permissive = optionFlag(option, reader);
  },
  msitranslate: (draft, option, reader) => {
    draft.msitranslate = optionFlag(option, reader);
  },
  seize: (draft, option, reader) => {
    draft.seize = optionFlag(option, reader);
  },
  power_mgmt: (draft, option, reader) => {
    draft.powerManagement = optionFlag(option, reader);
  },
  rdm_policy: (draft, option, reader) => {
    if (option.value === "strict" || option.value === "relaxed") draft.rdmPolicy = option.value;
    else refuseValue(option, "give strict or relaxed", reader);
  },
};

/** The entries of `pci`; `pci_permissive` and its like are what entries have that say nothing. */
export function readPci(reader: SettingReader): XlPci[] {
  const defaults = {
    permissive: reader.flag("pci_permissive"),
    msitranslate: reader.flag("pci_msitranslate"),
    seize: reader.flag("pci_seize"),
    powerManagement: reader.flag("pci_power_mgmt"),
  };
  return reader.strings("pci").map((entry) => readEntry(entry, defaults, reader));
}

function readEntry(
  entry: XlAtom,
  defaults: Pick<XlPci, "permissive" | "msitranslate" | "seize" | "powerManagement">,
  reader: SettingReader,
): XlPci {
  const { line, column } = entry;
  const nothing = { address: null, name: null, slot: null, rdmPolicy: null };
  const draft: Draft = { line, column, ...nothing, ...defaults };
  optionsOf(entry).forEach((option, i) => {
    readOption(draft, option, i === 0, reader);
  });
  if ((draft.address === null) === (draft.name === null)) {
    const subject = `an entry of "pci" is ${quoted(entry.text)}`;
    reader.refuse(entry, subject, "give either the place of a device as 03:00.0, or its name=");
  }
  return draft;
}

function readOption(draft: Draft, option: XlOption, first: boolean, reader: SettingReader): void {
  const { key, value } = option;
  if (key === null && value === "") return; // a comma at the end
  if (key === null && first) {
    readAddress(draft, option, reader);
    return;
  }
  const read = key !== null && Object.hasOwn(OPTIONS, key) ? OPTIONS[key] : undefined;
  if (read !== undefined) {
    read(draft, option, reader);
    return;
  }
  const remedy = `use ${Object.keys(OPTIONS).join("=, ")}=`;
  reader.refuse(option, `"pci" has no key ${quoted(key ?? value)}`, remedy);
}

function readAddress(draft: Draft, option: XlOption, reader: SettingReader): void {
  const [, segment = "0", bus, device, fn, slot] = ADDRESS.exec(option.value) ?? [];
  const deviceNumber = Number.parseInt(device ?? "ff", 16);
  const slotNumber = slot === undefined ? null : slotOf(slot);
  const slotIsRight = slot === undefined || slotNumber !== null;
  // a wrong place is still one: a second message about it would not help
  draft.address = {
    segment: Number.parseInt(segment, 16),
    bus: Number.parseInt(bus ?? "0", 16),
    device: deviceNumber,
    function: fn === undefined ? null : Number(fn),
  };
  draft.slot = slotNumber ?? draft.slot;
  if (bus !== undefined && deviceNumber <= LAST_DEVICE && slotIsRight) return;
  const subject = `an entry of "pci" has ${quoted(option.value)}`;
  reader.refuse(option.valueAt, subject, "give [DDDD:]BB:DD.F, and @ with a slot from 0 to 1f");
}

function slotOf(text: string): number | null {
  const slot = /^[0-9a-f]{1,2}$/i.test(text) ? Number.parseInt(text, 16) : Number.NaN;
  return slot <= LAST_DEVICE ? slot : null;
}

import { quoted } from "./error.ts";
import { optionsOf } from "./option-list.ts";
import type { SettingReader } from "./setting-reader.ts";
import type { XlPosition } from "./value.ts";

/** An entry of `vif`: a network card. */
export interface XlVif extends XlPosition {
  /** Emulated with a paravirtual twin, or paravirtual alone; null: as the type of the guest has it. */
  readonly type: "ioemu" | "vif" | null;
  /** Of the emulated card. */
  readonly model: string;
  /** "00:16:3e:01:02:03"; null: xl makes one up. */
  readonly mac: string | null;
  readonly bridge: string | null;
  /** All other options. */
  readonly options: Readonly<Record<string, string>>;
}

const MAC = /^[0-9a-f]{1,2}(?::[0-9a-f]{1,2}){5}$/i;
/** What xl emulates unless told. */
const DEFAULT_MODEL = "rtl8139";

/** The entries of `vif`. */
export function readVifs(reader: SettingReader): XlVif[] {
  return reader.strings("vif").map((entry) => {
    const { line, column } = entry;
    const options = new Map<string, string>();
    for (const option of optionsOf(entry)) {
      const { key, value, valueAt } = option;
      if (key === null && value === "") continue;
      if (key === null) {
        reader.refuse(option, `"vif" has ${quoted(value)}`, "write key=value, with commas between");
        continue;
      }
      const subject = `${quoted(key)} is ${quoted(value)}`;
      if (key === "mac" && !MAC.test(value)) {
        reader.refuse(valueAt, subject, "give six bytes as 00:16:3e:01:02:03");
      }
      if (key === "type" && value !== "ioemu" && value !== "vif") {
        reader.refuse(valueAt, subject, "give ioemu or vif");
      }
      options.set(key, value);
    }
    const take = (key: string): string | null => {
      const value = options.get(key) ?? null;
      options.delete(key);
      return value;
    };
    return {
      ...{ line, column },
      type: take("type") as XlVif["type"],
      model: take("model") ?? DEFAULT_MODEL,
      mac: take("mac"),
      bridge: take("bridge"),
      options: Object.fromEntries(options),
    };
  });
}

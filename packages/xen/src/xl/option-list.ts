import { quoted } from "./error.ts";
import type { SettingReader } from "./setting-reader.ts";
import { placeInAtom } from "./value.ts";
import type { XlAtom, XlPosition } from "./value.ts";

/** A piece of "a=b,c": `key` is null when it has no =. */
export interface XlOption extends XlPosition {
  readonly key: string | null;
  readonly value: string;
  /** Where the value begins. */
  readonly valueAt: XlPosition;
}

/** The pieces between the commas of a text; blanks around them do not count. */
export function optionsOf(atom: XlAtom): XlOption[] {
  let start = 0;
  return atom.text.split(",").map((piece) => {
    const begin = start + piece.length - piece.trimStart().length;
    start += piece.length + 1;
    const text = piece.trim();
    const equals = text.indexOf("=");
    return {
      ...placeInAtom(atom, begin),
      key: equals < 0 ? null : text.slice(0, equals),
      value: text.slice(equals + 1),
      valueAt: placeInAtom(atom, begin + equals + 1),
    };
  });
}

const FLAGS: Readonly<Record<string, boolean>> = {
  "1": true,
  true: true,
  yes: true,
  on: true,
  "0": false,
  false: false,
  no: false,
  off: false,
};

/** Yes or no inside a text. xl's documentation has numbers here; words mean what they say. */
export function optionFlag(option: XlOption, reader: SettingReader): boolean {
  const value = Object.hasOwn(FLAGS, option.value) ? FLAGS[option.value] : undefined;
  if (value !== undefined) return value;
  refuseValue(option, "give 1 or 0, true or false", reader);
  return false;
}

/** Refuses the value of a key, at its place. */
export function refuseValue(option: XlOption, remedy: string, reader: SettingReader): void {
  const subject = `${quoted(option.key ?? "")} is ${quoted(option.value)}`;
  reader.refuse(option.valueAt, subject, remedy);
}

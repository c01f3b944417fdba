/** A place in a configuration file, both counted from 1; columns are UTF-16 units. */
export interface XlPosition {
  readonly line: number;
  readonly column: number;
}

/** A string or a number. xl keeps numbers as text until somebody asks for one. */
export interface XlAtom extends XlPosition {
  readonly kind: "string" | "number";
  /** Without quotes, escapes resolved. */
  readonly text: string;
  /** The text stands in the file as it is: without escapes, and not joined by `+=`. */
  readonly verbatim: boolean;
}

/** `[ … ]`; lists may hold lists. */
export interface XlList extends XlPosition {
  readonly kind: "list";
  readonly items: readonly XlValue[];
}

/** What can stand behind `=`. */
export type XlValue = XlAtom | XlList;

/** `name = value`; the place is that of the name. */
export interface XlSetting extends XlPosition {
  readonly name: string;
  readonly value: XlValue;
  /** It was last written with `+=`: xl takes no number from such a setting. */
  readonly appended: boolean;
}

/** The settings of a file. */
export interface XlConfig {
  /** For messages. */
  readonly fileName: string;
  /** By name. Of settings that are given twice, the last one counts, as in xl. */
  readonly settings: ReadonlyMap<string, XlSetting>;
  /** Settings that a later one replaces. */
  readonly replaced: readonly XlSetting[];
}

/** A value as JSON has it: lists, and texts (numbers too: see {@link XlAtom}). */
export type XlPlain = string | readonly XlPlain[];

/** The value without places. */
export function plainXlValue(value: XlValue): XlPlain {
  return value.kind === "list" ? value.items.map(plainXlValue) : value.text;
}

/** The place of a character of an atom's text; the atom's own where that cannot be told. */
export function placeInAtom({ kind, line, column, verbatim }: XlAtom, offset: number): XlPosition {
  if (!verbatim) return { line, column };
  return { line, column: column + (kind === "string" ? 1 : 0) + offset };
}

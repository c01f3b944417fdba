import { quoted, XlError } from "./error.ts";
import type { XlProblem } from "./error.ts";
import type { XlAtom, XlConfig, XlPosition, XlSetting } from "./value.ts";

/** Numbers as strtol with base 0 takes them: decimal, 0x hexadecimal, 0 octal. */
const NUMBER = /^\s*([+-]?)(0x[0-9a-f]+|0[0-7]*|[1-9][0-9]*)$/i;

/** The number in a text, as xl reads it; null when it is none. */
export function xlNumber(text: string): number | null {
  const [, sign, digits] = NUMBER.exec(text) ?? [];
  if (digits === undefined) return null;
  const octal = /^0[0-7]+$/.test(digits);
  const value = octal ? Number.parseInt(digits, 8) : Number(digits);
  return sign === "-" ? -value : value;
}

/** Reads settings of the kinds that their keys have, and collects what is wrong with them. */
export class SettingReader {
  readonly #config: XlConfig;
  readonly #read = new Set<string>();
  readonly #problems: XlProblem[] = [];

  constructor(config: XlConfig) {
    this.#config = config;
  }

  /** Throws ERR_VIOMMU_XL_VALUE when anything was refused. */
  finish(): void {
    if (this.#problems.length === 0) return;
    const sorted = this.#problems.sort((a, b) => a.line - b.line || a.column - b.column);
    throw new XlError("ERR_VIOMMU_XL_VALUE", this.#config.fileName, sorted);
  }

  refuse({ line, column }: XlPosition, text: string, remedy: string): void {
    this.#problems.push({ line, column, text, remedy });
  }

  /** Settings that nobody has asked for. */
  unread(): XlSetting[] {
    return [...this.#config.settings.values()].filter(({ name }) => !this.#read.has(name));
  }

  /** The place of a setting; the beginning of the file when it is not there. */
  placeOf(name: string): XlPosition {
    const { line, column } = this.#config.settings.get(name) ?? { line: 1, column: 1 };
    return { line, column };
  }

  string(name: string): XlAtom | undefined {
    const value = this.#setting(name)?.value;
    if (value?.kind !== "list") return value;
    this.refuse(value, `${quoted(name)} is a list`, "give one text in quotes");
    return undefined;
  }

  /** A whole number in a range; `otherwise` when it is not given, or refused. */
  number(name: string, least: number, most: number, otherwise: number): number {
    const atom = this.string(name);
    if (atom === undefined) return otherwise;
    const value = xlNumber(atom.text);
    const subject = `${quoted(name)} is ${quoted(atom.text)}`;
    const remedy = `give a whole number from ${least} to ${most}`;
    if (this.#config.settings.get(name)!.appended) {
      this.refuse(atom, `${quoted(name)} is a number that += was used on`, "write it with =");
    } else if (value === null) {
      this.refuse(atom, subject, remedy);
    } else if (value < least || value > most) {
      this.refuse(atom, subject, remedy);
    } else {
      return value;
    }
    return otherwise;
  }

  /** As xl has it: a number, and any but 0 is yes. */
  flag(name: string): boolean {
    return this.number(name, -(2 ** 31), 2 ** 31, 0) !== 0;
  }

  /** The texts of a list; empty when it is not given. */
  strings(name: string): XlAtom[] {
    const value = this.#setting(name)?.value;
    if (value === undefined) return [];
    if (value.kind !== "list") {
      this.refuse(value, `${quoted(name)} is one value`, `give a list: ${name} = [ … ]`);
      return [];
    }
    return value.items.flatMap((item) => {
      if (item.kind !== "list") return [item];
      this.refuse(item, `an item of ${quoted(name)} is a list`, "give texts in quotes");
      return [];
    });
  }

  #setting(name: string): XlSetting | undefined {
    this.#read.add(name);
    return this.#config.settings.get(name);
  }
}

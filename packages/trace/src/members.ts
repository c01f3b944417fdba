import { ViommuError } from "@viommu/plugin";

const HEX = /^0x[0-9a-f]{1,16}$/;
const SOURCE_ID = /^0x[0-9a-f]{4}$/;
const BYTES = /^(?:[0-9a-f]{2})+$/;

/** The parsed JSON of one line, or of one member in it. */
export type Json = Readonly<Record<string, unknown>>;

/**
 * Takes the members of one JSON object out of a line. Every refusal names the line, the member and
 * its value, and says what belongs there. Members nobody asks for are ignored.
 */
export class Members {
  readonly line: number;
  readonly #values: Json;
  readonly #where: string;

  constructor(line: number, values: Json, where: string) {
    this.line = line;
    this.#values = values;
    this.#where = where;
  }

  names(): string[] {
    return Object.keys(this.#values);
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#values, name);
  }

  /** Whether the member is there and not null. */
  gives(name: string): boolean {
    return this.has(name) && this.#values[name] !== null;
  }

  /** The member as it is; undefined when absent. */
  raw(name: string): unknown {
    return this.has(name) ? this.#values[name] : undefined;
  }

  /** Throws ERR_VIOMMU_TRACE_EVENT about this member. */
  refuse(name: string, remedy: string): never {
    throw refusal(this.line, `${this.#where}.${name}`, this.raw(name), remedy);
  }

  hex(name: string, bits = 64): bigint {
    return this.#hex(name, this.raw(name), bits);
  }

  /** A hexadecimal value of at most 32 bits. */
  number(name: string, bits = 32): number {
    return Number(this.hex(name, bits));
  }

  sourceId(name: string): number {
    const value = this.raw(name);
    if (typeof value === "string" && SOURCE_ID.test(value)) return Number(value);
    return this.refuse(name, 'give a source-id with 4 lower-case digits, as in "0x0010"');
  }

  integer(name: string, least: number, most: number): number {
    const value = this.raw(name);
    if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) {
      return value;
    }
    return this.refuse(name, `give a whole number from ${least} to ${most}`);
  }

  boolean(name: string): boolean {
    const value = this.raw(name);
    return typeof value === "boolean" ? value : this.refuse(name, "give true or false");
  }

  text(name: string): string {
    const value = this.raw(name);
    return typeof value === "string" ? value : this.refuse(name, "give a string");
  }

  /** One of the strings in `table`, translated. */
  oneOf<T>(name: string, table: Readonly<Record<string, T>>): T {
    const value = this.raw(name);
    if (typeof value === "string" && Object.hasOwn(table, value)) return table[value]!;
    return this.refuse(name, `give one of "${Object.keys(table).join('", "')}"`);
  }

  object(name: string): Members {
    const value = this.raw(name);
    if (isObject(value)) return new Members(this.line, value, `${this.#where}.${name}`);
    return this.refuse(name, "give an object");
  }

  /** A list of objects; empty when absent. */
  objects(name: string): Members[] {
    return this.#list(name).map((value, i) => {
      if (isObject(value)) return new Members(this.line, value, `${this.#where}.${name}[${i}]`);
      throw refusal(this.line, `${this.#where}.${name}[${i}]`, value, "give an object");
    });
  }

  /** A list of tuples, each as an object with the members "0", "1", …; empty when absent. */
  tuples(name: string, length: number): Members[] {
    return this.#list(name).map((value, i) => {
      const where = `${this.#where}.${name}[${i}]`;
      if (!Array.isArray(value) || value.length !== length) {
        throw refusal(this.line, where, value, `give a list of ${length}`);
      }
      return new Members(this.line, Object.fromEntries(value.entries()), where);
    });
  }

  /** A string of digit pairs, lowest address first; null stays null. */
  bytes(name: string): Uint8Array | null {
    const value = this.raw(name);
    if (value === null) return null;
    if (typeof value !== "string" || !BYTES.test(value)) {
      return this.refuse(name, "give pairs of lower-case hexadecimal digits, or null");
    }
    return Uint8Array.from({ length: value.length / 2 }, (_, i) =>
      Number.parseInt(value.slice(2 * i, 2 * i + 2), 16),
    );
  }

  /** An object that maps hexadecimal keys to hexadecimal values. */
  hexMap(name: string): Map<bigint, bigint> {
    const values = this.raw(name);
    if (!isObject(values)) return this.refuse(name, "give an object");
    return new Map(
      Object.entries(values).map(([key, value]) => [
        this.#hex(`${name} key`, key, 64),
        this.#hex(`${name}["${key}"]`, value, 64),
      ]),
    );
  }

  #list(name: string): readonly unknown[] {
    const value = this.raw(name) ?? [];
    return Array.isArray(value) ? value : this.refuse(name, "give a list");
  }

  #hex(name: string, value: unknown, bits: number): bigint {
    if (typeof value === "string" && HEX.test(value)) {
      const number = BigInt(value);
      if (number >> BigInt(bits) === 0n) return number;
    }
    const remedy = `give "0x" and lower-case hexadecimal digits, at most ${bits} bits`;
    throw refusal(this.line, `${this.#where}.${name}`, value, remedy);
  }
}

/** Whether parsed JSON is an object, not a list. */
export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function refusal(line: number, member: string, value: unknown, remedy: string): ViommuError {
  const found = value === undefined ? "is missing" : `is ${shorten(JSON.stringify(value))}`;
  return new ViommuError("ERR_VIOMMU_TRACE_EVENT", `line ${line}: ${member} ${found}; ${remedy}`);
}

/** Keeps a message on one readable line. */
export function shorten(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}

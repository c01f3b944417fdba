import { badValue, brokenRule, show } from "./errors.ts";
import { fixedSize, readFields, uint, writeFields } from "./field.ts";
import type { Field, Layout } from "./field.ts";
import type { Cursor, Output } from "./stream.ts";

/** A structure that this package does not know, or that is too short for its type. */
export interface Unknown {
  readonly type: "UNKNOWN";
  /** The number in its type field. */
  readonly code: number;
  /** All bytes after type and length. */
  readonly bytes: Uint8Array;
}

/** Type number and layout (after type and length) of each kind of structure in a list. */
export type Kinds<T extends { readonly type: string }> = {
  readonly [K in T["type"]]: {
    readonly code: number;
    readonly layout: Layout<Described<T, K>>;
  };
};

/** What a structure of type K holds beside its type. */
type Described<T, K> = T extends { readonly type: infer Types }
  ? K extends Types
    ? Omit<T, "type">
    : never
  : never;

interface Kind {
  readonly name: string;
  readonly code: number;
  readonly layout: Layout<Record<string, unknown>>;
}

/**
 * A list of structures up to the end of what holds it. Each starts with its type and its length, so
 * that a reader can skip what it does not know.
 */
export class RecordList<T extends { readonly type: string }> implements Field<
  readonly (T | Unknown)[]
> {
  readonly size = 0;
  readonly #width: 1 | 2;
  readonly #noun: string;
  readonly #kinds: readonly Kind[];

  /**
   * @param width bytes of the type field, and of the length field
   * @param noun what one structure of the list is called in messages
   */
  constructor(width: 1 | 2, noun: string, kinds: Kinds<T>) {
    this.#width = width;
    this.#noun = noun;
    this.#kinds = Object.entries(kinds as Record<string, Omit<Kind, "name">>).map(
      ([name, kind]) => ({ name, ...kind }),
    );
  }

  read(cursor: Cursor, end: number): readonly (T | Unknown)[] {
    const parent = cursor.structure;
    const header = 2 * this.#width;
    const list: object[] = [];
    while (cursor.offset < end) {
      const start = cursor.offset;
      const left = end - start;
      if (left < header) {
        cursor.report(start, `${left} bytes left, too few for another ${this.#noun}`);
        cursor.offset = end;
        break;
      }
      const code = cursor.uint(this.#width);
      const length = cursor.uint(this.#width);
      if (length < header) {
        cursor.report(
          start,
          `${this.#noun} with length ${length}, less than its own header: ` +
            `the last ${left} bytes of the ${parent} can't be read`,
        );
        cursor.offset = end;
        break;
      }
      if (length > left) {
        cursor.report(
          start,
          `${this.#noun} of ${length} bytes ends ${length - left} bytes beyond the ${parent}`,
        );
      }
      list.push(this.#readOne(cursor, code, start, Math.min(length, left)));
      cursor.offset = Math.min(start + length, end);
      cursor.structure = parent;
    }
    return list as (T | Unknown)[];
  }

  write(out: Output, list: readonly (T | Unknown)[], name: string): void {
    list.forEach((record, i) => {
      const start = out.length;
      this.#writeOne(out, record, `${name}[${i}]`);
      const length = out.length - start;
      const max = 0x100 ** this.#width - 1;
      if (length > max) {
        throw brokenRule(
          `${name}[${i}]`,
          `${this.#noun} of ${length} bytes is longer than its length field can say`,
          `keep it within ${max} bytes`,
        );
      }
      out.uint(this.#width, length, start + this.#width);
    });
  }

  #readOne(cursor: Cursor, code: number, start: number, length: number): object {
    const end = start + length;
    const kind = this.#kinds.find((known) => known.code === code);
    if (kind !== undefined) {
      const needed = 2 * this.#width + fixedSize(kind.layout);
      if (length >= needed) return this.#readKnown(cursor, kind, start, end);
      cursor.report(start, `${length} bytes are less than the ${needed} of a ${kind.name}`);
    } else {
      cursor.report(start, `${this.#noun} type ${show(code)} is not known; kept as it is`);
    }
    const unknown: Unknown = { type: "UNKNOWN", code, bytes: cursor.bytes(end - cursor.offset) };
    cursor.places.set(unknown, { offset: start, structure: unknown.type });
    return unknown;
  }

  #readKnown(cursor: Cursor, kind: Kind, start: number, end: number): object {
    cursor.structure = kind.name;
    const record = { type: kind.name, ...readFields(kind.layout, cursor, end) };
    if (cursor.offset < end) {
      cursor.report(cursor.offset, `${end - cursor.offset} bytes more than a ${kind.name} has`);
    }
    cursor.places.set(record, { offset: start, structure: kind.name });
    return record;
  }

  #writeOne(out: Output, record: T | Unknown, name: string): void {
    out.places.set(record, { offset: out.length, structure: record.type });
    if (isUnknown(record)) {
      if (this.#kinds.some((kind) => kind.code === record.code)) {
        throw badValue(`${name}.code`, record.code, "a code without a description of its own");
      }
      uint(this.#width).write(out, record.code, `${name}.code`);
      out.uint(this.#width, 0); // length: known when all is written
      out.bytes(record.bytes);
      return;
    }
    const kind = this.#kinds.find((known) => known.name === record.type);
    if (kind === undefined) {
      const names = this.#kinds.map((known) => known.name).join(", ");
      throw badValue(`${name}.type`, record.type, names);
    }
    out.uint(this.#width, kind.code);
    out.uint(this.#width, 0);
    writeFields(kind.layout, out, record as object as Record<string, unknown>, kind.name);
  }
}

const isUnknown = (record: { readonly type: string }): record is Unknown =>
  record.type === "UNKNOWN";

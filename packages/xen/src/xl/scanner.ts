import { quoted } from "./error.ts";
import type { XlProblem } from "./error.ts";
import type { XlPosition } from "./value.ts";

/** What a file is made of; `bad` has been told already, `end` comes for ever. */
export interface XlToken extends XlPosition {
  readonly kind: "name" | "string" | "number" | Punctuation | "newline" | "bad" | "end";
  /** Of strings, without quotes and escapes. */
  readonly text: string;
  /** A string without escapes, or any other token. */
  readonly verbatim: boolean;
}

type Punctuation = "[" | "]" | "," | "=" | "+=" | ";";

const NAME = /[a-z][._0-9a-z]*/y;
const NUMBER = /[0-9][0-9a-fx]*/y;
const PUNCTUATION = /\+=|[[\],=;]/y;
const SPACE = /[ \t]*/y;
const COMMENT = /#[^\n]*/y;
const REST = /[^ \t\n]+/y;
const PLAIN = { '"': /[^"\\\n\0]*/y, "'": /[^'\\\n\0]*/y } as const;

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  "'": "'",
  "\\": "\\",
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

/** Cuts a text into tokens, by the lexical rules of xl. Never throws. */
export class XlScanner {
  readonly #text: string;
  readonly #report: (problem: XlProblem) => void;
  #at = 0;
  #line = 1;
  #lineStart = 0;

  constructor(text: string, report: (problem: XlProblem) => void) {
    this.#text = text;
    this.#report = report;
  }

  next(): XlToken {
    this.#match(SPACE);
    this.#match(COMMENT);
    const place = this.#place();
    const character = this.#text[this.#at];
    if (character === undefined) return { ...place, kind: "end", text: "", verbatim: true };
    if (character === "\n") {
      this.#at += 1;
      this.#line += 1;
      this.#lineStart = this.#at;
      return { ...place, kind: "newline", text: "\n", verbatim: true };
    }
    if (character === '"' || character === "'") return this.#string(character, place);
    const name = this.#match(NAME);
    if (name !== "") return { ...place, kind: "name", text: name, verbatim: true };
    const number = this.#match(NUMBER);
    if (number !== "") return { ...place, kind: "number", text: number, verbatim: true };
    const mark = this.#match(PUNCTUATION);
    if (mark !== "") return { ...place, kind: mark as Punctuation, text: mark, verbatim: true };
    return this.#bad(place, ...misplaced(this.#match(REST)));
  }

  /** A string ends on its line: xl knows no continuation, neither by a backslash nor by neighbours. */
  #string(quote: '"' | "'", start: XlPosition): XlToken {
    const parts: string[] = [];
    let verbatim = true;
    this.#at += 1;
    for (;;) {
      parts.push(this.#match(PLAIN[quote]));
      const place = this.#place();
      const character = this.#text[this.#at];
      if (character === quote) break;
      if (character !== "\\") {
        return character === "\0"
          ? this.#bad(place, "a NUL character stands in a string", "take it out")
          : this.#bad(start, "the string has no closing quote", "end it on the same line");
      }
      const escape = this.#text[this.#at + 1] ?? "";
      const meant = ESCAPES[escape];
      if (meant === undefined) return this.#bad(place, ...unknownEscape(escape));
      parts.push(meant);
      verbatim = false;
      this.#at += 2;
    }
    this.#at += 1;
    return { ...start, kind: "string", text: parts.join(""), verbatim };
  }

  #bad(place: XlPosition, text: string, remedy: string): XlToken {
    this.#report({ ...place, text, remedy });
    return { ...place, kind: "bad", text: "", verbatim: false };
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? "";
    this.#at += found.length;
    return found;
  }

  #place(): XlPosition {
    return { line: this.#line, column: this.#at - this.#lineStart + 1 };
  }
}

function misplaced(rest: string): [text: string, remedy: string] {
  const text = `${quoted(rest)} cannot stand here`;
  if (rest.startsWith("\r")) {
    return ["the line ends with a carriage return", "save the file with UNIX line ends"];
  }
  if (/^-[0-9]/.test(rest)) return [text, "put a negative number in quotes"];
  if (/^[A-Z]/.test(rest)) {
    return [text, "write names, and digits of numbers, in lower case, and put texts in quotes"];
  }
  if (/^[-+.():{}%]/.test(rest)) return [text, "give plain values: xl runs no Python"];
  return [text, "put texts in quotes"];
}

function unknownEscape(escape: string): [text: string, remedy: string] {
  if (/^[x0-7]$/.test(escape)) {
    return [
      `xl loses the character of a numeric escape (\\${escape}…)`,
      "write the character itself",
    ];
  }
  if (escape === "" || escape === "\n") {
    return ["a backslash ends the line inside a string", "end the string on the same line"];
  }
  return [`${quoted(`\\${escape}`)} is no escape`, "write \\\\ for a backslash"];
}

import { MOST_PROBLEMS, quoted, XlError } from "./error.ts";
import type { XlProblem } from "./error.ts";
import { XlScanner } from "./scanner.ts";
import type { XlToken } from "./scanner.ts";
import type { XlConfig, XlSetting, XlValue } from "./value.ts";

/** Lists in lists; xl itself has no use for more than two levels. */
const DEEPEST_LIST = 32;

/**
 * Reads the text of an xl.cfg: what xl takes is taken, with the same meaning, and what it refuses is
 * refused. Throws {@link XlError} (ERR_VIOMMU_XL_SYNTAX) with all problems that were found.
 */
export function parseXlConfig(text: string, fileName = "xl.cfg"): XlConfig {
  const parser = new Parser(text);
  parser.file();
  if (parser.problems.length > 0) {
    throw new XlError("ERR_VIOMMU_XL_SYNTAX", fileName, parser.problems.slice(0, MOST_PROBLEMS));
  }
  return { fileName, settings: parser.settings, replaced: parser.replaced };
}

class Parser {
  readonly settings = new Map<string, XlSetting>();
  readonly replaced: XlSetting[] = [];
  readonly problems: XlProblem[] = [];
  readonly #scanner: XlScanner;
  #token: XlToken;

  constructor(text: string) {
    this.#scanner = new XlScanner(text, (problem) => {
      this.#tell(problem);
    });
    this.#token = this.#scanner.next();
  }

  /** Settings, each ended by a line end, `;` or the end of the file. */
  file(): void {
    while (!this.#is("end") && this.problems.length < MOST_PROBLEMS) {
      const right = this.#isEnd() || this.#setting();
      if (right && this.#isEnd()) this.#advance();
      else this.#recover(right);
    }
  }

  #setting(): boolean {
    const name = this.#token;
    if (name.kind !== "name") {
      return this.#refuse("is no name of a setting", "begin with name = value");
    }
    this.#advance();
    const operator = this.#token;
    if (operator.kind !== "=" && operator.kind !== "+=") {
      return this.#refuse(`stands where ${quoted(name.text)} needs its =`, "write name = value");
    }
    this.#advance();
    const value = this.#value(0);
    if (value === null) return false;
    return this.#store(name, operator.kind === "+=", value);
  }

  #value(depth: number): XlValue | null {
    const token = this.#token;
    const { kind, text, line, column, verbatim } = token;
    if (kind === "string" || kind === "number") {
      this.#advance();
      return { kind, text, line, column, verbatim };
    }
    if (kind === "[" && depth === DEEPEST_LIST) {
      this.#refuse(`opens a list inside ${DEEPEST_LIST} others`, "make them flatter");
      return null;
    }
    if (kind === "[") return this.#list(depth);
    const remedy =
      kind === "name"
        ? "put texts in quotes, and write 1 and 0 for yes and no"
        : "give a string in quotes, a number, or a list in brackets";
    this.#refuse("is no value", remedy);
    return null;
  }

  /** Lines may end anywhere in a list, and a comma may stand behind its last item. */
  #list(depth: number): XlValue | null {
    const { line, column } = this.#token;
    const items: XlValue[] = [];
    this.#advance();
    for (;;) {
      this.#skipNewlines();
      if (this.#is("]")) break;
      const item = this.#value(depth + 1);
      if (item === null) return null;
      items.push(item);
      this.#skipNewlines();
      if (!this.#is(",", "]")) {
        this.#refuse("stands behind an item of a list", "put , or ] in front of it");
        return null;
      }
      if (this.#is(",")) this.#advance();
    }
    this.#advance();
    return { kind: "list", items, line, column };
  }

  #store({ text: name, line, column }: XlToken, appended: boolean, value: XlValue): boolean {
    const earlier = this.settings.get(name);
    if (earlier !== undefined && !appended) this.replaced.push(earlier);
    const joined = earlier !== undefined && appended ? join(earlier.value, value) : value;
    if (joined === null) {
      const kinds =
        value.kind === "list" ? "a text, and this is a list" : "a list, and this is none";
      const remedy = "add lists to lists, and texts to texts";
      this.#tell({
        line: value.line,
        column: value.column,
        text: `${quoted(name)} is ${kinds}`,
        remedy,
      });
    } else {
      this.settings.set(name, { name, value: joined, appended, line, column });
    }
    return true;
  }

  /** After a mistake: goes on with the next line that begins a setting. */
  #recover(complete: boolean): void {
    if (complete) {
      this.#refuse("stands behind the value", "begin a new line, or put ; in between");
    }
    for (;;) {
      while (!this.#is("newline", "end")) this.#advance();
      this.#skipNewlines();
      if (this.#is("end", "name")) return;
    }
  }

  #isEnd(): boolean {
    return this.#is("newline", ";", "end");
  }

  #is(...kinds: readonly XlToken["kind"][]): boolean {
    return kinds.includes(this.#token.kind);
  }

  #skipNewlines(): void {
    while (this.#is("newline")) this.#advance();
  }

  #advance(): void {
    this.#token = this.#scanner.next();
  }

  /** Tells what is wrong with this token; what the scanner told is not told again. */
  #refuse(predicate: string, remedy: string): false {
    const { kind, text, line, column } = this.#token;
    if (kind === "bad") return false;
    const subject = TOKEN_NAMES[kind] ?? quoted(text);
    this.#tell({ line, column, text: `${subject} ${predicate}`, remedy });
    return false;
  }

  /** One problem a line: others in it mostly come of the first. */
  #tell(problem: XlProblem): void {
    if (this.problems.at(-1)?.line !== problem.line) this.problems.push(problem);
  }
}

const TOKEN_NAMES: Readonly<Partial<Record<XlToken["kind"], string>>> = {
  newline: "the end of the line",
  end: "the end of the file",
};

/** What `+=` makes of two values; null when they are of two kinds. */
function join(first: XlValue, second: XlValue): XlValue | null {
  const { line, column } = second;
  if (first.kind === "list" && second.kind === "list") {
    return { kind: "list", items: [...first.items, ...second.items], line, column };
  }
  if (first.kind === "list" || second.kind === "list") return null;
  return { kind: "string", text: first.text + second.text, verbatim: false, line, column };
}

import { ViommuError } from "@viommu/plugin";
import { isMap, isNode, isScalar, LineCounter, parseDocument } from "yaml";
import type { Document } from "yaml";
import { keyText } from "./error.ts";
import type { ConfigPath, PositionedText } from "./error.ts";

/** A value that is set from outside, as the command line does. */
export interface Override {
  readonly path: ConfigPath;
  readonly value: number;
}

/** A YAML file that has been read, and remembers where everything stands. */
export class YamlText implements PositionedText {
  /** The content as plain objects. */
  readonly content: unknown;
  readonly #file: string;
  readonly #document: Document;
  readonly #lines = new LineCounter();

  /** Throws ERR_VIOMMU_CONFIG_SYNTAX with line and column. */
  constructor(file: string, text: string, overrides: readonly Override[] = []) {
    this.#file = file;
    const document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false });
    this.#document = document;
    const [error] = [...document.errors, ...document.warnings];
    if (error !== undefined) this.#refuse(error.message, error.pos[0]);
    for (const { path, value } of overrides) this.#set(path, value);
    try {
      this.content = document.toJS();
    } catch (cause) {
      // aliases that are not defined, or that would grow without bound
      this.#refuse((cause as Error).message, 0);
    }
  }

  key(path: ConfigPath): string {
    return keyText(path);
  }

  place(path: ConfigPath, atKey: boolean): string {
    // what is missing is told at the place of what it is missing in
    for (let depth = path.length; depth >= 0; depth -= 1) {
      const found = path.slice(0, depth);
      const offset = atKey || depth < path.length ? this.#keyOffset(found) : this.#offset(found);
      if (offset !== undefined) return this.#at(offset);
      if (depth === path.length && this.#document.getIn(found) !== undefined) break; // an override
    }
    return this.#file;
  }

  value(path: ConfigPath): string {
    const node = this.#document.getIn(path, true);
    if (!isScalar(node)) return "";
    return typeof node.value === "string"
      ? JSON.stringify(node.value)
      : (node.source ?? String(node.value));
  }

  /** Replaces a scalar, and makes the maps above it; leaves a file of another shape to the schema. */
  #set(path: ConfigPath, value: number): void {
    const above = this.#document.getIn(path.slice(0, -1), true);
    if (above === undefined || isMap(above))
      this.#document.setIn(path, this.#document.createNode(value));
  }

  #offset(path: ConfigPath): number | undefined {
    const node = this.#document.getIn(path, true);
    return isNode(node) ? node.range?.[0] : undefined;
  }

  /** Where the key of an entry stands; for list items and the top, the value itself. */
  #keyOffset(path: ConfigPath): number | undefined {
    const above = this.#document.getIn(path.slice(0, -1), true);
    const name = path.at(-1);
    if (!isMap(above) || name === undefined) return this.#offset(path);
    const pair = above.items.find(({ key }) => isScalar(key) && key.value === name);
    return isNode(pair?.key) ? pair.key.range?.[0] : undefined;
  }

  #at(offset: number): string {
    const { line, col } = this.#lines.linePos(offset);
    return `${this.#file}:${line}:${col}`;
  }

  #refuse(message: string, offset: number): never {
    throw new ViommuError(
      "ERR_VIOMMU_CONFIG_SYNTAX",
      `${this.#at(offset)}: ${message.replaceAll("\n", " ")}; correct the YAML there`,
    );
  }
}

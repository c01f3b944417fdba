import { parseXlConfig, readXlDomain } from "@viommu/xen";
import type { ConfigPath, PositionedText } from "./error.ts";
import type { ConfigNotice } from "./guest-config.ts";
import { machineOf } from "./xl-machine.ts";
import type { XlMachine, XlOrigin } from "./xl-machine.ts";
import type { Override } from "./yaml-text.ts";

const NAME = /\.([^./\\]+)$/;
/** The first line that is neither empty nor a comment begins a setting of xl. */
const FIRST_SETTING = /^(?:[ \t;]*(?:#[^\n]*)?\n)*[ \t;]*[a-z][._0-9a-z]*[ \t]*\+?=/;

/** An xl.cfg: by the end of its name, or else by what stands in it. */
export function isXlFile(file: string, text: string): boolean {
  const extension = NAME.exec(file)?.[1]?.toLowerCase();
  if (extension === "cfg") return true;
  return extension !== "yaml" && extension !== "yml" && FIRST_SETTING.test(text);
}

/** An xl.cfg that has been read, as the configuration that it means, with the places of its settings. */
export class XlText implements PositionedText {
  readonly content: unknown;
  readonly notices: readonly ConfigNotice[];
  readonly #file: string;
  readonly #machine: XlMachine;
  readonly #overridden: ReadonlySet<string>;

  /** Throws ERR_VIOMMU_XL_SYNTAX, ERR_VIOMMU_XL_VALUE and ERR_VIOMMU_CONFIG_RULE. */
  constructor(file: string, text: string, overrides: readonly Override[] = []) {
    this.#file = file;
    this.#overridden = new Set(overrides.map(({ path }) => path.join("/")));
    const config = parseXlConfig(text, file);
    const vcpus = overrides.find(({ path }) => path.join("/") === "vcpus/count")?.value;
    this.#machine = machineOf(config, readXlDomain(config), vcpus);
    const { content, notices } = this.#machine;
    for (const { path, value } of overrides) set(content, path, value);
    this.content = content;
    this.notices = notices.map(({ line, column, key, text: what }) => ({
      place: `${file}:${line}:${column}`,
      key,
      text: what,
    }));
  }

  key(path: ConfigPath): string {
    return this.#origin(path)?.key ?? path.join(".");
  }

  place(path: ConfigPath): string {
    const origin = this.#origin(path);
    if (origin === undefined || this.#overridden.has(path.join("/"))) return this.#file;
    return `${this.#file}:${origin.line}:${origin.column}`;
  }

  value(path: ConfigPath): string {
    if (this.#overridden.has(path.join("/"))) return String(valueAt(this.content, path));
    return this.#origin(path)?.text ?? "";
  }

  /** The setting that a value comes from: its own, or that of what it is a part of. */
  #origin(path: ConfigPath): XlOrigin | undefined {
    for (let depth = path.length; depth > 0; depth -= 1) {
      const found = this.#machine.origins.get(path.slice(0, depth).join("/"));
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

type Tree = Record<string, unknown>;

function set(content: Tree, path: ConfigPath, value: number): void {
  const above = path.slice(0, -1).reduce<Tree>((tree, step) => {
    tree[step] ??= {};
    return tree[step] as Tree;
  }, content);
  above[path.at(-1)!] = value;
}

const valueAt = (content: unknown, path: ConfigPath): unknown =>
  path.reduce<unknown>((tree, step) => (tree as Tree | undefined)?.[step], content);

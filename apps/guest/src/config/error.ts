import { ViommuError } from "@viommu/plugin";

/** Where in a configuration: keys and indexes from the top. */
export type ConfigPath = readonly (string | number)[];

/** What a configuration fails on. */
export interface ConfigProblem {
  readonly path: ConfigPath;
  /** What is wrong, as it goes on after the key and its value. */
  readonly text: string;
  readonly remedy: string;
  /** True: the key itself is wrong, not its value. */
  readonly atKey?: boolean;
}

/** Text of a file with the places of its keys. */
export interface PositionedText {
  /** What the file calls it: "devices[3].address". */
  key(path: ConfigPath): string;
  /** "guest.yaml:3:9", or the file alone for what does not stand in it. */
  place(path: ConfigPath, atKey: boolean): string;
  /** The value as it stands there: `"00:02.0"`; empty for lists, maps and what is not there. */
  value(path: ConfigPath): string;
}

/** "devices[3].address". */
export function keyText(path: ConfigPath): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === "number") return `${text}[${step}]`;
    return text === "" ? step : `${text}.${step}`;
  }, "");
}

/** One line: file, line, column, key, value, what is wrong, what to do. */
export function configError(
  code: "ERR_VIOMMU_CONFIG" | "ERR_VIOMMU_CONFIG_RULE",
  source: PositionedText,
  problem: ConfigProblem,
): ViommuError {
  const { path, text, remedy, atKey = false } = problem;
  const value = atKey ? "" : source.value(path);
  const key = path.length === 0 ? "the configuration" : source.key(path);
  const subject = value === "" ? key : `${key} (${value})`;
  return new ViommuError(code, `${source.place(path, atKey)}: ${subject} ${text}; ${remedy}`);
}

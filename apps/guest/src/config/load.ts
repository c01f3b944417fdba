import * as v from "valibot";
import { configError } from "./error.ts";
import type { ConfigProblem } from "./error.ts";
import type { GuestConfig } from "./guest-config.ts";
import { resolveGuest } from "./resolve.ts";
import { GUEST } from "./schema.ts";
import { isXlFile, XlText } from "./xl-text.ts";
import { YamlText } from "./yaml-text.ts";
import type { Override } from "./yaml-text.ts";

/**
 * The guest that a YAML text or an xl.cfg describes. `file` names it in messages. Throws ViommuError
 * with file, line, column, key, value and remedy: ERR_VIOMMU_CONFIG_SYNTAX (no YAML), ERR_VIOMMU_CONFIG
 * (a key or value that no configuration has), ERR_VIOMMU_CONFIG_RULE (a guest that cannot work), and
 * ERR_VIOMMU_XL_SYNTAX and ERR_VIOMMU_XL_VALUE (no xl.cfg).
 */
export function parseGuest(
  file: string,
  text: string,
  overrides: readonly Override[] = [],
): GuestConfig {
  const source = isXlFile(file, text)
    ? new XlText(file, text, overrides)
    : new YamlText(file, text, overrides);
  const result = v.safeParse(GUEST, source.content);
  if (!result.success) throw configError("ERR_VIOMMU_CONFIG", source, problemOf(result.issues[0]));
  const guest = resolveGuest(result.output, (path, text, remedy) => {
    throw configError("ERR_VIOMMU_CONFIG_RULE", source, { path, text, remedy });
  });
  return { ...guest, notices: source instanceof XlText ? source.notices : [] };
}

/** Messages of the schema are "what is wrong; what to do". */
function problemOf(issue: v.BaseIssue<unknown>): ConfigProblem {
  const [text = "", remedy = ""] = issue.message.split("; ");
  const path = (issue.path ?? []).map(({ key }) => key as string | number);
  return {
    path,
    text,
    remedy,
    atKey: issue.type === "strict_object" && issue.expected === "never",
  };
}

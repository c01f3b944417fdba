import type { Layout } from "../../src/index.ts";

/** A literal structure and what its fields are; fields not named are 0. */
export interface Vector {
  readonly what: string;
  readonly layout: Layout;
  readonly qwords: readonly bigint[];
  readonly fields: Readonly<Record<string, number | bigint>>;
}

import type { ConfigPath } from "./error.ts";
import type { GuestDescription } from "./schema.ts";

/** Ends the check of a configuration: where, what is wrong, what to do. */
export type Refuse = (path: ConfigPath, text: string, remedy: string) => never;

/** What a configuration must keep beyond its shape. */
export type Rule = (guest: GuestDescription, refuse: Refuse) => void;

/** A number as it stands in configurations. */
export function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

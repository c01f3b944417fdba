import { expect } from "vitest";
import { parseGuest } from "../src/config/load.ts";
import type { GuestConfig } from "../src/config/guest-config.ts";

/** A guest with one of everything; tests change it. */
export const SMALL = `name: small
vcpus: { count: 4 }
memory: 64M
units:
  - name: dmar0
    base: 0xfed90000
    includeAll: true
    scope: [ioapic0]
    options: { eim: true }
ioapics:
  - { name: ioapic0, id: 0, base: 0xfec00000, address: "ff:00.0" }
devices:
  - { name: nic0, kind: nic, address: "00:02.0", vectors: 4 }
  - { name: disk0, kind: block, address: "00:03.0", vectors: 2 }
  - { name: timer0, kind: timer, address: "00:04.0", pin: { ioapic: ioapic0, number: 5 } }
workload: { interrupts: 500, affinityChanges: 50, seed: 7 }
`;

/** A part of the text, and what stands there instead. */
export type Change = readonly [from: string, to: string];

/** The text with some parts replaced; each must be there. */
export function changed(...changes: readonly Change[]): string {
  return changes.reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`the guest has no "${from}"`);
    return text.replace(from, to);
  }, SMALL);
}

/** The same guest with changes. */
export function guestConfig(...changes: readonly Change[]): GuestConfig {
  return parseGuest("guest.yaml", changed(...changes));
}

/** Code and message of what a text is refused with. */
export function refusal(text: string): string {
  try {
    parseGuest("guest.yaml", text);
    return "accepted";
  } catch (error) {
    const { code, message } = error as Error & { code: string };
    return `${code}: ${message}`;
  }
}

/** A rule, how a guest breaks it, what stands at the place that the message names, the message. */
export type Case = readonly [rule: string, changes: readonly Change[], at: string, message: RegExp];

/** The guest is refused on one line, at the right place, with a remedy. */
export function expectRefused([, changes, at, message]: Case): void {
  const text = changed(...changes);
  const refused = refusal(text);
  expect(refused).toMatch(message);
  const [, line, column] = /^ERR_VIOMMU_CONFIG_RULE: guest\.yaml:(\d+):(\d+): /.exec(refused)!;
  const found = text.split("\n")[Number(line) - 1]!.slice(Number(column) - 1);
  expect(found.slice(0, at.length)).toBe(at);
  expect(refused).toMatch(/; [a-z]/); // a remedy
  expect(refused).not.toContain("\n");
}

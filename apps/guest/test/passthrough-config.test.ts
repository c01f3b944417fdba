import { describe, expect, it } from "vitest";
import { parseGuest } from "../src/config/load.ts";
import { changed, refusal } from "./guests.ts";
import type { Change } from "./guests.ts";
import { passedText } from "./passed-through.ts";

/** Where a text is refused, and the rest of the message. */
function refused(text: string): { readonly at: string; readonly message: string } {
  const found = /^ERR_VIOMMU_CONFIG(?:_RULE)?: guest\.yaml:(\d+):(\d+): (.*)$/.exec(refusal(text));
  if (found === null) throw new Error(refusal(text));
  const [, line, column, message] = found;
  return { at: text.split("\n")[Number(line) - 1]!.slice(Number(column) - 1), message: message! };
}

describe("the configuration of a guest with devices of a host", () => {
  it("has a host with defaults, or with what is given", () => {
    const { host, devices } = parseGuest("guest.yaml", passedText());
    expect(host).toMatchObject({ tableFrames: 16_384, frameQuota: 4096, interruptEntriesLog2: 8 });
    expect(host!.profile.capabilities).toMatchObject({ SMTS: 1, SSADS: 1, PI: 1, NEST: 1 });
    expect(devices.map(({ hostAddress }) => hostAddress?.sourceId)).toEqual([
      0x300,
      0x8201,
      undefined,
    ]);
    const text = passedText("{ frameQuota: 9, tableFrames: 100, options: { nested: false } }");
    const given = parseGuest("guest.yaml", text).host!;
    expect(given).toMatchObject({ tableFrames: 100, frameQuota: 9 });
    expect(given.profile.capabilities.NEST).toBe(0);
    expect(parseGuest("guest.yaml", changed()).host).toBeNull();
  });

  it.each<[string, string | null, readonly Change[], string, RegExp]>([
    [
      "no caching mode",
      null,
      [["cachingMode: true", "cachingMode: false"]],
      "false",
      /^units\[0\]\.options\.cachingMode \(false\) is not set above "nic0" of the host: without .*; set cachingMode: true$/,
    ],
    [
      "what nothing stands behind",
      null,
      [["cachingMode: true", "cachingMode: true, protectedMemory: true, postedInterrupts: true"]],
      "{ eim",
      /^units\[0\]\.options make "dmar0" a unit that "nic0" of the host cannot be under \(protectedMemory: .*postedInterrupts: .*\); change them/,
    ],
    [
      "more than the host can do",
      "{ options: { addressWidths: [39], snoopControl: false } }",
      [],
      "{ eim",
      /\(addressWidths: the host's tables are narrower than the guest's, SC: .*\); change them, or give the host/,
    ],
    [
      "a unit that there cannot be",
      "{ options: { scalableMode: true, queuedInvalidation: false } }",
      [],
      "{ scalable",
      /^host\.options make no unit of a host: /,
    ],
    [
      "a host without second stage",
      "{ options: { secondStage: false, secondStageAccessedDirty: false, addressWidths: [] } }",
      [],
      "{ secondStage",
      /^host\.options give the host no second stage; leave out secondStage and addressWidths$/,
    ],
    [
      "memory that the host cannot reach",
      "{ options: { addressWidths: [39] } }",
      [["64M", "[{ base: 0, size: 64M }, { base: 0x8000000000, size: 4M }]"]],
      "{ addressWidths",
      /^host\.options give the host addresses of 39 bits, and the guest's memory needs more; /,
    ],
    [
      "too few frames",
      "{ tableFrames: 64 }",
      [["64M", "6G"]],
      "64",
      /^host\.tableFrames \(64\) are too few for this guest; give \d+ or more$/,
    ],
    [
      "one device twice",
      null,
      [["82:00.1", "03:00.0"]],
      '"03:00.0" }',
      /^devices\[1\]\.passthrough \("03:00\.0"\) is the device that "nic0" is; give each its own$/,
    ],
    [
      "a segment that the host has not",
      null,
      [["82:00.1", "0001:82:00.1"]],
      '"0001:82',
      /is in a segment that the host has not/,
    ],
    ["no address", null, [['"82:00.1"', "true"]], "true", /is no bus address/],
    [
      "a pool of what sends no packets",
      null,
      [["vectors: 2,", "vectors: 2, sendPool: true,"]],
      "true",
      /^devices\[1\]\.sendPool \(true\) is of no use to a block; leave it out$/,
    ],
  ])("is refused with %s", (_, host, changes, place, expected) => {
    const { at, message } = refused(passedText(host, ...changes));
    expect(message).toMatch(expected);
    expect(at.slice(0, place.length)).toBe(place);
  });

  it("needs no caching mode where a unit remaps interrupts only", () => {
    const text = passedText(null, [
      "eim: true, cachingMode: true",
      "addressWidths: [], passThrough: false",
    ]);
    expect(parseGuest("guest.yaml", text).units[0]!.profile.capabilities).toMatchObject({ CM: 0 });
  });
});

import { describe, expect, it } from "vitest";
import { parseGuest } from "../src/config/load.ts";
import { changed, refusal } from "./guests.ts";
import type { Change } from "./guests.ts";
import { PERMISSIONS, scalable } from "./scalable-guests.ts";

/** What breaks a rule, and what the refusal says: where, what, and what to do. */
type Case = readonly [rule: string, changes: readonly Change[], message: RegExp];

describe("driver and domains", () => {
  it("legacy mode and the driver's choice of domains are what a guest gets that asks for nothing", () => {
    const { driver, devices } = parseGuest("guest.yaml", changed());
    expect(driver).toEqual({ mode: "legacy", pageRequestQueue: 2048 });
    expect(devices.map(({ domain, paging }) => [domain, paging])).toEqual(
      devices.map(() => [null, null]),
    );
  });

  it("an accelerator needs no more than a map", () => {
    const text = scalable([
      "paging: { processes: 3, pages: 128, frames: 96, lifetime: 400, translations: 64 }",
      "paging: {}",
    ]);
    expect(parseGuest("guest.yaml", text).devices[0]!.paging).toEqual({
      ...{ processes: 4, pages: 512, frames: 1024, lifetime: 0 },
      ...{ translations: 256, groups: 32, nested: false, hostPermissions: false },
    });
  });

  it.each<Case>([
    [
      "scalable mode of a unit without it",
      [["scalableMode: true, deviceTlb: true, pageRequests: true", "eim: true"]],
      /:21:17: driver\.mode .*"dmar0" has no scalable mode \(ECAP\.SMTS\); set its option scal/,
    ],
    [
      "a queue of page requests that no register can tell",
      [["pageRequestQueue: 128", "pageRequestQueue: 384"]],
      /driver\.pageRequestQueue \(384\) is no power of two; give 128, 256/,
    ],
    [
      "a first-stage domain in legacy mode",
      [
        ["mode: scalable", "mode: legacy"],
        ["kind: accelerator", "kind: nic"],
        [
          "    paging: { processes: 3, pages: 128, frames: 96, lifetime: 400, translations: 64 }\n",
          "",
        ],
      ],
      /devices\[1\]\.domain \("first-stage"\) needs scalable mode; set driver/,
    ],
    [
      "a second-stage domain where the unit has no second stage",
      [["scalableMode: true", "scalableMode: true, secondStage: false, nested: false"]],
      /devices\[2\]\.domain \("second-stage"\) needs second-stage translation, .* secondStage of/,
    ],
    [
      "pass-through where the unit has none",
      [["scalableMode: true", "scalableMode: true, passThrough: false"]],
      /devices\[3\]\.domain \("pass-through"\) needs pass-through, /,
    ],
    [
      "an accelerator in legacy mode",
      [
        ["mode: scalable", "mode: legacy"],
        [", domain: first-stage", ""],
      ],
      /devices\[0\]\.kind \("accelerator"\) needs scalable mode; /,
    ],
    [
      "an accelerator whose unit takes no page requests",
      [[", pageRequests: true", ""]],
      /devices\[0\]\.kind \("accelerator"\) needs page requests, .* set the option pageRequests/,
    ],
    [
      "an accelerator without processes",
      [
        [
          "    paging: { processes: 3, pages: 128, frames: 96, lifetime: 400, translations: 64 }\n",
          "",
        ],
      ],
      /devices\[0\] has no processes to work for; give it paging/,
    ],
    [
      "processes of a network card",
      [["vectors: 2, domain: first-stage", "vectors: 2, paging: {}"]],
      /devices\[1\]\.paging is of no use to a nic; leave it out/,
    ],
    [
      "a translation cache of any size",
      [["translations: 64", "translations: 65"]],
      /devices\[0\]\.paging\.translations \(65\) is no power of two; /,
    ],
    [
      "host permissions where the unit has no tables for them",
      [["translations: 64", "translations: 64, hostPermissions: true"]],
      /devices\[0\]\.paging .*needs host permission tables, .* set the option hostPermissionTables/,
    ],
    [
      "host permissions of a device that passes through",
      [...PERMISSIONS, ["vectors: 4\n", "vectors: 4\n    domain: pass-through\n"]],
      /paging\.hostPermissions \(true\) is not possible: the device passes through; give it ano/,
    ],
    [
      "nested processes above nothing",
      [["translations: 64", "translations: 64, nested: true"]],
      /paging\.nested \(true\) needs a second-stage domain below; /,
    ],
  ])("refuses %s", (_, changes, message) => {
    const refused = refusal(scalable(...changes));
    expect(refused).toMatch(/^ERR_VIOMMU_CONFIG_RULE: guest\.yaml:\d+:\d+: [^\n]+; [a-z][^\n]+$/);
    expect(refused).toMatch(message);
  });
});

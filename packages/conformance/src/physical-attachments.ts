import { NO_PASID } from "@viommu/plugin";
import type { DeviceSpace } from "@viommu/plugin";
import type { Requirement } from "./check.ts";
import { DFN, RW } from "./physical-under-test.ts";
import type { PhysicalUnderTest } from "./physical-under-test.ts";

const ATTACH =
  "From the return of this call on, the requests of a device (those with `pasid`, or those without for NO_PASID) and of all its aliases go through `space`.";
const DRAIN =
  "True when none of those begun before this call is; otherwise `done` is called, once, when the last of them is over.";

/** Which devices go through which spaces. */
export function physicalAttachmentRequirements(): readonly Requirement<PhysicalUnderTest>[] {
  return [
    {
      name: "devices start blocked",
      chapterOrPort: "PhysicalIommu.blocking",
      sentence:
        "Lets a device reach nothing; all devices start here, and come back here (quarantine).",
      prove: (test, judge) => {
        for (const sourceId of test.harness.devices) {
          judge.subject = "a device that was never attached";
          test.reaches(judge, test.frame(0), null, sourceId);
          const { blocking } = test.iommu;
          judge.equal("blocking:", test.iommu.attached(sourceId, NO_PASID) === blocking, true);
        }
      },
    },
    {
      name: "an attach moves the requests of its device, and of no other",
      chapterOrPort: "PhysicalIommu.attach",
      sentence: ATTACH,
      prove: (test, judge) => {
        const [one, two] = [test.frame(0), test.frame(1)];
        const first = test.space([[DFN, one]]);
        const second = test.space([[DFN, two]]);
        const { device, iommu, other } = test;
        const way: readonly (readonly [DeviceSpace, number | null])[] = [
          [first, one],
          [second, two],
          [iommu.blocking, null],
          [second, two],
          [first, one],
        ];
        iommu.attach(other, NO_PASID, first);
        for (const [space, frame] of way) {
          judge.subject = `a device attached to a ${space.kind} space`;
          iommu.attach(device, NO_PASID, space);
          judge.equal("attached to it:", iommu.attached(device, NO_PASID) === space, true);
          test.reaches(judge, DFN, frame);
          test.reaches(judge, DFN, one, other);
        }
      },
    },
    {
      name: "identity lets a device reach memory one to one",
      chapterOrPort: "PhysicalIommu.identity",
      sentence: "Lets a device reach all host memory one to one.",
      prove: (test, judge) => {
        judge.subject = "a device attached to identity";
        test.iommu.attach(test.device, NO_PASID, test.iommu.identity);
        const frame = test.frame(7);
        test.reaches(judge, frame, frame);
        test.iommu.attach(test.device, NO_PASID, test.iommu.blocking);
        test.reaches(judge, frame, null);
      },
    },
    {
      name: "an alias goes where its device goes",
      chapterOrPort: "PhysicalIommu.attach",
      sentence: ATTACH,
      applies: ({ harness }) => harness.alias !== null,
      prove: (test, judge) => {
        const [one, two] = [test.frame(0), test.frame(1)];
        const alias = test.harness.alias!;
        judge.subject = "an alias";
        test.reaches(judge, DFN, null, alias);
        for (const frame of [one, two]) {
          test.space([[DFN, frame]], test.device);
          test.reaches(judge, DFN, frame, alias);
        }
        test.iommu.attach(test.device, NO_PASID, test.iommu.blocking);
        test.reaches(judge, DFN, null, alias);
      },
    },
    {
      name: "requests with a PASID go their own way",
      chapterOrPort: "PhysicalIommu.attach",
      sentence: ATTACH,
      applies: hasPasids,
      prove: (test, judge) => {
        const { device, harness, iommu } = test;
        const [first, second] = harness.pasids;
        const frames = [0, 1, 2].map((number) => test.frame(number));
        const spaces = frames.map((frame) => test.space([[DFN, frame]]));
        const pasids = [NO_PASID, first!, second!];
        pasids.forEach((pasid, i) => {
          judge.subject = `a device attached with PASID ${pasid}`;
          test.reaches(judge, DFN, null, device, pasid);
          iommu.attach(device, pasid, spaces[i]!);
          pasids.forEach((other, j) => {
            test.reaches(judge, DFN, j <= i ? frames[j]! : null, device, other);
          });
        });
        judge.subject = "a device after one PASID was taken away";
        iommu.attach(device, first!, iommu.blocking);
        test.reaches(judge, DFN, null, device, first);
        test.reaches(judge, DFN, frames[0]!, device, NO_PASID);
        test.reaches(judge, DFN, frames[2]!, device, second);
        test.reaches(judge, DFN, null, test.other, second);
      },
    },
    {
      name: "what can't be attached is refused, and the device stays where it is",
      chapterOrPort: "PhysicalIommu.attach",
      sentence: "Throws ERR_VIOMMU_PIOMMU, and nothing is changed, when it cannot be done",
      prove: (test, judge) => {
        const frame = test.frame(0);
        const space = test.space([[DFN, frame]], test.device);
        const destroyed = test.space([]);
        destroyed.destroy();
        const foreign: DeviceSpace = { kind: "paging" };
        for (const [what, wrong] of [
          ["a destroyed space", destroyed],
          ["a space of nobody", foreign],
        ] as const) {
          judge.subject = `attach to ${what}`;
          test.refused(judge, "it", () => {
            test.iommu.attach(test.device, NO_PASID, wrong);
          });
          const { device, iommu } = test;
          judge.equal("where it was:", iommu.attached(device, NO_PASID) === space, true);
          test.reaches(judge, DFN, frame);
        }
      },
    },
    {
      name: "drain tells when the accesses begun before it are over, once",
      chapterOrPort: "PhysicalIommu.drain",
      sentence: DRAIN,
      prove: (test, judge) => {
        const { device, harness, iommu } = test;
        test.space([[DFN, test.frame(0)]], device);
        let told = 0;
        const tell = (): void => {
          told += 1;
        };
        judge.subject = "drain";
        judge.equal("with nothing under way, over:", iommu.drain(tell), true);
        const first = harness.begin(device, DFN * 4096);
        const second = harness.begin(device, DFN * 4096);
        judge.equal("with two accesses under way, over:", iommu.drain(tell), false);
        const later = harness.begin(device, DFN * 4096);
        second();
        judge.equal("times told after one of them:", told, 0);
        first();
        judge.equal("times told after both of them:", told, 1);
        later();
        judge.equal("times told after a later access:", told, 1);
        judge.equal("with nothing under way again, over:", iommu.drain(tell), true);
      },
    },
    {
      name: "the listener is told of each blocked request, with who asked for what",
      chapterOrPort: "PhysicalIommu.faultListener",
      sentence: "Who is told of blocked requests of physical devices; null: nobody.",
      prove: (test, judge) => {
        const { device, faults, harness, iommu } = test;
        const space = test.space([[DFN, test.frame(0)]], device);
        space.map(DFN + 1, test.frame(1), 0, RW);
        judge.subject = "an access that goes through";
        harness.read(device, NO_PASID, DFN * 4096 + 8);
        judge.equal("faults", faults.length, 0);
        judge.subject = "a blocked read";
        harness.read(device, NO_PASID, (DFN + 2) * 4096 + 8);
        judge.equal("faults", faults.length, 1);
        const { hi, kind, lo, pasid, reason, sourceId, stage } = faults[0]!;
        judge.equal("sourceId", sourceId, device);
        judge.equal("pasid", pasid, NO_PASID);
        judge.equal("page", hi * 2 ** 18 + Math.floor(lo / 4096), DFN + 2);
        judge.equal("kind", kind, "dma");
        judge.equal("stage", stage, "host");
        judge.that(reason > 0, "a fault reason", reason);
        judge.subject = "a blocked read without listener";
        iommu.faultListener = null;
        test.reaches(judge, DFN + 2, null);
      },
    },
  ];
}

function hasPasids({ harness }: PhysicalUnderTest): boolean {
  return harness.pasids.length > 1;
}

import type { InterruptTarget } from "@viommu/plugin";
import type { Judge, Requirement } from "./check.ts";
import type { PhysicalUnderTest } from "./physical-under-test.ts";

const PROGRAM = "Where the interrupts of this handle go from now on; null blocks them. Atomic.";

/** Interrupt entries. */
export function physicalInterruptRequirements(): readonly Requirement<PhysicalUnderTest>[] {
  return [
    {
      name: "an interrupt goes where its handle was programmed to",
      chapterOrPort: "PhysicalInterrupts.program",
      sentence: PROGRAM,
      prove: (test, judge) => {
        const { device, iommu } = test;
        const handle = iommu.interrupts.allocate(device);
        judge.subject = "an interrupt";
        arrives(test, judge, device, handle, null);
        for (const [vector, destination] of [
          [0x31, 5],
          [0xfe, 0],
          [0x40, 200],
        ] as const) {
          // prettier-ignore
          iommu.interrupts.program(handle, fixed(vector, destination));
          arrives(test, judge, device, handle, `${vector} to ${destination}`);
        }
        iommu.interrupts.program(handle, null);
        arrives(test, judge, device, handle, null);
      },
    },
    {
      name: "a handle is its device's alone",
      chapterOrPort: "PhysicalInterrupts.allocate",
      sentence: "A blocked entry for a device; the handle goes into the device's message.",
      prove: (test, judge) => {
        const { device, iommu, other } = test;
        const handles = [device, device, other].map((id) => iommu.interrupts.allocate(id));
        judge.subject = "three handles";
        judge.equal("different ones", new Set(handles).size, 3);
        handles.forEach((handle, i) => {
          iommu.interrupts.program(handle, fixed(0x50 + i, i));
        });
        judge.subject = "a device that uses its own handle";
        arrives(test, judge, device, handles[0]!, "80 to 0");
        arrives(test, judge, device, handles[1]!, "81 to 1");
        arrives(test, judge, other, handles[2]!, "82 to 2");
        judge.subject = "a device that uses another's handle";
        arrives(test, judge, other, handles[0]!, null);
        arrives(test, judge, device, handles[2]!, null);
      },
    },
    {
      name: "a handle that was given back is blocked, and is given out blocked",
      chapterOrPort: "PhysicalInterrupts.free",
      sentence: PROGRAM,
      prove: (test, judge) => {
        const { device, iommu } = test;
        const handle = iommu.interrupts.allocate(device);
        iommu.interrupts.program(handle, fixed(0x61, 3));
        iommu.interrupts.free(handle);
        judge.subject = "a freed handle";
        arrives(test, judge, device, handle, null);
        test.refused(judge, "programming it", () => {
          iommu.interrupts.program(handle, fixed(0x61, 3));
        });
        test.refused(judge, "freeing it again", () => {
          iommu.interrupts.free(handle);
        });
        const again = iommu.interrupts.allocate(device);
        judge.subject = "the next handle";
        arrives(test, judge, device, again, null);
      },
    },
  ];
}

function fixed(vector: number, destination: number): InterruptTarget {
  const none = { logical: false, redirectionHint: false, levelTriggered: false };
  return { kind: "remapped", vector, destination, deliveryMode: 0, ...none };
}

function arrives(
  { faults, harness }: PhysicalUnderTest,
  judge: Judge,
  sourceId: number,
  handle: number,
  expected: string | null,
): void {
  const before = faults.length;
  const seen = harness.interrupt(sourceId, handle);
  const text = seen.map(({ destination, vector }) => `${vector} to ${destination}`).join();
  judge.equal("delivered:", text, expected ?? "");
  judge.equal("faults told of:", faults.length - before, expected === null ? 1 : 0);
}

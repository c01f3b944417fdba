import { NO_PASID } from "@viommu/plugin";
import type { PageRequest, PhysicalPageRequests } from "@viommu/plugin";
import type { Judge, Requirement } from "./check.ts";
import { DFN } from "./physical-under-test.ts";
import type { PhysicalUnderTest } from "./physical-under-test.ts";

const SUCCESS = 0;
const INVALID_REQUEST = 1;

/** Page requests of devices. */
export function physicalPageRequestRequirements(): readonly Requirement<PhysicalUnderTest>[] {
  return [
    {
      name: "the listener is told of page requests, and its answers go back, once",
      chapterOrPort: "PhysicalPageRequests.respond",
      sentence:
        "Answers a group: 0 success, 1 invalid request, 15 failure. False when no such group waits for an answer: nothing is done then.",
      applies: asks,
      prove: (test, judge) => {
        const { device, harness, other } = test;
        const requests = pageRequestsOf(test, judge);
        const told: PageRequest[] = [];
        requests.listener = (request) => told.push(request) > 0;
        const space = test.space([], device);
        for (const pasid of [NO_PASID, ...harness.pasids]) {
          for (const code of [SUCCESS, INVALID_REQUEST]) {
            judge.subject = `a page request with PASID ${pasid}`;
            test.iommu.attach(device, pasid, space);
            told.length = 0;
            const codes: number[] = [];
            harness.requestPage!(device, pasid, DFN * 4096, (answer) => codes.push(answer));
            judge.equal("requests told of:", told.length, 1);
            const { group, hi, last, lo, sourceId } = told[0]!;
            judge.equal("sourceId", sourceId, device);
            judge.equal("pasid", told[0]!.pasid, pasid);
            judge.equal("page", hi * 2 ** 18 + (lo >>> 12), DFN);
            judge.equal("last of its group:", last, true);
            judge.equal("answers before there was one:", codes.length, 0);
            const wrong = [
              requests.respond(other, pasid, group, code),
              requests.respond(device, pasid, group ^ 1, code),
              requests.respond(device, pasid + 5, group, code),
            ];
            judge.equal("answers to other groups taken:", wrong.join(), "false,false,false");
            judge.equal("answer taken:", requests.respond(device, pasid, group, code), true);
            judge.equal("second answer taken:", requests.respond(device, pasid, group, 15), false);
            judge.equal("codes that the device got:", codes.join(), `${code}`);
          }
        }
      },
    },
    {
      name: "page requests that nobody takes are answered with Invalid Request",
      chapterOrPort: "PhysicalPageRequests.listener",
      sentence:
        "what it does not take, or nobody hears of (null), is answered with Invalid Request. It may answer inside.",
      applies: asks,
      prove: (test, judge) => {
        const { device, harness, iommu } = test;
        const requests = pageRequestsOf(test, judge);
        const ask = (): string => {
          const codes: number[] = [];
          harness.requestPage!(device, NO_PASID, DFN * 4096, (code) => codes.push(code));
          return codes.join();
        };
        const invalid = `${INVALID_REQUEST}`;
        test.space([], device);
        judge.subject = "a page request";
        judge.equal("answers without listener:", ask(), invalid);
        requests.listener = () => false;
        judge.equal("answers when the listener does not take it:", ask(), invalid);
        requests.listener = ({ group, pasid, sourceId }) => {
          requests.respond(sourceId, pasid, group, SUCCESS);
          return true;
        };
        judge.equal("answers when the listener answers inside:", ask(), `${SUCCESS}`);
        let told = 0;
        requests.listener = () => {
          told += 1;
          return true;
        };
        iommu.attach(device, NO_PASID, iommu.blocking);
        judge.subject = "a page request of a device that is attached to nothing";
        judge.equal("answers:", ask(), invalid);
        judge.equal("requests told of:", told, 0);
      },
    },
  ];
}

function asks({ harness, iommu }: PhysicalUnderTest): boolean {
  return iommu.info.pageRequests === true && harness.requestPage !== undefined;
}

function pageRequestsOf({ iommu }: PhysicalUnderTest, judge: Judge): PhysicalPageRequests {
  return iommu.pageRequests ?? judge.fail("pageRequests, as info says", "none");
}

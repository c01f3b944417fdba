import { physicalIommuConformance, runConformance } from "@viommu/conformance";
import type { PhysicalIommuHarness } from "@viommu/conformance";
import { MapResult, NO_PASID } from "@viommu/plugin";
import type {
  NestedSpace,
  PagingSpace,
  PhysicalFault,
  PhysicalIommu,
  PhysicalPageRequests,
} from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { FULL, LEGACY, RW } from "./support/unit-host.ts";
import { unitHarness } from "./support/unit-harness.ts";

type Changes<T> = (real: T) => Partial<T>;

/** The model with some of its methods replaced by wrong ones. */
function wrong(changes: Changes<PhysicalIommu>, profile = FULL): () => PhysicalIommuHarness {
  return () => {
    const harness = unitHarness(profile);
    replace(harness.iommu, changes);
    return harness;
  };
}

/** The same, with devices that cache. */
function wrongCaching(changes: Changes<PhysicalIommu>): () => PhysicalIommuHarness {
  return () => {
    const harness = unitHarness(FULL, {}, true);
    replace(harness.iommu, changes);
    return harness;
  };
}

/** The model with devices that make page requests. */
const asking = (): PhysicalIommuHarness =>
  unitHarness({ ...FULL, pageRequests: true, deviceTlb: true }, {}, true);

function wrongPages(changes: Changes<PhysicalPageRequests>): () => PhysicalIommuHarness {
  return () => {
    const harness = asking();
    replace(harness.iommu.pageRequests!, changes);
    return harness;
  };
}

/** The model with wrong paging spaces. */
function wrongSpace(changes: Changes<PagingSpace>, profile = FULL): () => PhysicalIommuHarness {
  return wrong(
    (real) => ({
      createPagingSpace: (options) => {
        const space = real.createPagingSpace(options);
        replace(space, changes);
        return space;
      },
    }),
    profile,
  );
}

/** The model with wrong nested spaces. */
function wrongNested(changes: Changes<NestedSpace>): () => PhysicalIommuHarness {
  return wrong((real) => ({
    createNestedSpace: (parent, stage) => {
      const space = real.createNestedSpace(parent, stage);
      replace(space, changes);
      return space;
    },
  }));
}

function wrongInterrupts(
  changes: Changes<PhysicalIommu["interrupts"]>,
): () => PhysicalIommuHarness {
  return () => {
    const harness = unitHarness();
    replace(harness.iommu.interrupts, changes);
    return harness;
  };
}

/** The model with another listener in front of the suite's. */
function wrongFaults(
  tell: (fault: PhysicalFault, listener: (fault: PhysicalFault) => void) => void,
): () => PhysicalIommuHarness {
  return () => {
    const harness = unitHarness();
    let listener: PhysicalIommu["faultListener"] = null;
    Object.defineProperty(harness.iommu, "faultListener", {
      get: () => {
        const suite = listener;
        return suite === null
          ? null
          : (fault: PhysicalFault) => {
              tell(fault, suite);
            };
      },
      set: (next: PhysicalIommu["faultListener"]) => {
        listener = next;
      },
    });
    return harness;
  };
}

/** Puts new methods over an object's own; they are given the old ones. */
function replace<T extends object>(target: T, changes: Changes<T>): void {
  const real = new Proxy(target, {
    get: (object, name) => {
      const value: unknown = before.get(name) ?? Reflect.get(object, name, object);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
  const before = new Map<string | symbol, unknown>();
  const changed = changes(real);
  for (const name of Object.keys(changed)) before.set(name, Reflect.get(target, name, target));
  Object.assign(target, changed);
}

interface Mutant {
  readonly that: string;
  readonly make: () => PhysicalIommuHarness;
  readonly foundBy: string;
}

const MOVES = "an attach moves the requests of its device, and of no other";
const DRAINS = "drain tells when the accesses begun before it are over, once";
const TELLS = "the listener is told of each blocked request, with who asked for what";
const SIZES = "pages of every size map all of their range, and no more";
const REPLACES = "a mapping replaces what was there, and the rest of a larger page stays";
const UNMAPS = "what is unmapped is gone, and the rest of a larger page stays";
const DIRTY = "pages that a device has written are told of, once for each time";
const HANDLES = "a handle is its device's alone";
const FREED = "a handle that was given back is blocked, and is given out blocked";
const NESTS = "a nested space goes through the guest's tables and then through its parent";
const DROPS = "an invalidation of a nested space drops what the guest has changed";
const ANSWERS = "the listener is told of page requests, and its answers go back, once";
const NOBODY = "page requests that nobody takes are answered with Invalid Request";
const TOLD = "a device drops what it has cached itself when it is told to";

const ATTACHMENTS: readonly Mutant[] = [
  {
    that: "starts with everything open",
    make: () => {
      const harness = unitHarness();
      const { iommu } = harness;
      for (const id of harness.devices) iommu.attach(id, NO_PASID, iommu.identity);
      return harness;
    },
    foundBy: "devices start blocked",
  },
  {
    that: "leaves a device where it was instead of blocking it",
    make: wrong((real) => ({
      attach: (sourceId, pasid, space) => {
        if (space !== real.blocking) real.attach(sourceId, pasid, space);
      },
    })),
    foundBy: MOVES,
  },
  {
    that: "moves a neighbour along",
    make: wrong((real) => ({
      attach: (sourceId, pasid, space) => {
        real.attach(sourceId, pasid, space);
        real.attach(0x0010, pasid, space);
      },
    })),
    foundBy: MOVES,
  },
  { that: "forgets what is attached", make: wrong((real) => ({ attached: () => real.blocking })), foundBy: MOVES }, // prettier-ignore
  {
    that: "takes identity for blocking",
    make: wrong(({ blocking }) => ({ identity: blocking })),
    foundBy: "identity lets a device reach memory one to one",
  },
  {
    that: "knows no aliases",
    make: () => unitHarness(FULL, { devices: [] }),
    foundBy: "an alias goes where its device goes",
  },
  {
    that: "attaches the whole device for one PASID",
    make: wrong((real) => ({
      attach: (sourceId, pasid, space) => {
        real.attach(sourceId, pasid, space);
        real.attach(sourceId, NO_PASID, space);
      },
    })),
    foundBy: "requests with a PASID go their own way",
  },
  {
    that: "blocks a device that can't be attached",
    make: wrong((real) => ({
      attach: (sourceId, pasid, space) => {
        try {
          real.attach(sourceId, pasid, space);
        } catch (error) {
          real.attach(sourceId, pasid, real.blocking);
          throw error;
        }
      },
    })),
    foundBy: "what can't be attached is refused, and the device stays where it is",
  },
  {
    that: "takes no notice of what can't be attached",
    make: wrong((real) => ({
      attach: (sourceId, pasid, space) => {
        try {
          real.attach(sourceId, pasid, space);
        } catch {
          // as if nothing were wrong
        }
      },
    })),
    foundBy: "what can't be attached is refused, and the device stays where it is",
  },
  { that: "is always drained", make: wrong(() => ({ drain: () => true })), foundBy: DRAINS },
  {
    that: "says that it is drained at once",
    make: wrong(() => ({
      drain: (done) => {
        done();
        return false;
      },
    })),
    foundBy: DRAINS,
  },
  {
    that: "waits for accesses that began later",
    make: wrong((real) => ({
      drain: (done) => {
        const again = (): void => {
          if (real.drain(again)) done();
        };
        return real.drain(again);
      },
    })),
    foundBy: DRAINS,
  },
  {
    that: "tells of a fault twice",
    make: wrongFaults((fault, listener) => {
      listener(fault);
      listener(fault);
    }),
    foundBy: TELLS,
  },
  {
    that: "forgets the address of a fault",
    make: wrongFaults((fault, listener) => {
      listener({ ...fault, hi: 0, lo: 0 });
    }),
    foundBy: TELLS,
  },
  {
    that: "blames the guest for everything",
    make: wrongFaults((fault, listener) => {
      listener({ ...fault, stage: "first-stage" });
    }),
    foundBy: TELLS,
  },
  {
    that: "never blames the guest",
    make: wrongFaults((fault, listener) => {
      listener({ ...fault, stage: "host" });
    }),
    foundBy: "a fault says whether the guest's first stage or the host blocked the request",
  },
];

const MAPPINGS: readonly Mutant[] = [
  {
    that: "maps the next frame",
    make: wrongSpace((real) => ({
      map: (dfn, mfn, order, flags) => real.map(dfn, mfn + 2 ** order, order, flags),
    })),
    foundBy: "a device reaches exactly the frame that a page is mapped to, and no neighbour",
  },
  {
    that: "maps a neighbour along",
    make: wrongSpace((real) => ({
      map: (dfn, mfn, order, flags) => {
        if (order === 0) real.map(dfn + 1, mfn + 1, order, flags);
        return real.map(dfn, mfn, order, flags);
      },
    })),
    foundBy: "a device reaches exactly the frame that a page is mapped to, and no neighbour",
  },
  {
    that: "gives every right",
    make: wrongSpace((real) => ({ map: (dfn, mfn, order) => real.map(dfn, mfn, order, RW) })),
    foundBy: "a page is open for reads and writes as it was mapped",
  },
  {
    that: "maps a small page for a large one",
    make: wrongSpace((real) => ({
      map: (dfn, mfn, _order, flags) => real.map(dfn, mfn, 0, flags),
    })),
    foundBy: SIZES,
  },
  {
    that: "finds the first frame of a large page only",
    make: wrongSpace((real) => ({
      lookup: (dfn, out) => {
        const found = real.lookup(dfn, out);
        out.mfn -= out.mfn % 2 ** out.order;
        return found;
      },
    })),
    foundBy: SIZES,
  },
  {
    that: "keeps what is mapped already",
    make: wrongSpace((real) => ({
      map: (dfn, mfn, order, flags) => {
        const found = { mfn: 0, order: 0, flags: 0 };
        return real.lookup(dfn, found) ? MapResult.MAPPED : real.map(dfn, mfn, order, flags);
      },
    })),
    foundBy: "after a flush no device is led by what was unmapped or replaced",
  },
  {
    that: "drops the rest of a large page",
    make: wrongSpace((real) => ({
      map: (dfn, mfn, order, flags) => {
        real.unmap(dfn - (dfn % 512), 9);
        return real.map(dfn, mfn, order, flags);
      },
    })),
    foundBy: REPLACES,
  },
  {
    that: "unmaps more than it should",
    make: wrongSpace((real) => ({ unmap: (dfn, order) => order > 9 ? real.unmap(dfn, order) : real.unmap(dfn - (dfn % 512), 9) })), // prettier-ignore
    foundBy: UNMAPS,
  },
  {
    that: "unmaps the first page of a range only",
    make: wrongSpace((real) => ({ unmap: (dfn) => real.unmap(dfn, 0) })),
    foundBy: UNMAPS,
  },
  {
    that: "does not flush",
    make: wrongSpace(() => ({ flush: () => undefined })),
    foundBy: "after a flush no device is led by what was unmapped or replaced",
  },
  {
    that: "cuts addresses that are too wide",
    make: wrongSpace((real) => ({
      map: (dfn, mfn, order, flags) => real.map(dfn % 2 ** 36, mfn % 2 ** 36, order, flags),
    })),
    foundBy: "what lies beyond the address width is refused, and nothing changes",
  },
  {
    that: "knows no quota",
    make: wrong((real) => ({
      createPagingSpace: (options) => real.createPagingSpace({ ...options, frameQuota: 1000 }),
    })),
    foundBy: "a space keeps to its frame quota, and a mapping that breaks it changes nothing",
  },
  {
    that: "unmaps when a mapping has no room",
    make: wrongSpace((real) => ({
      map: (dfn, mfn, order, flags) => {
        const result = real.map(dfn, mfn, order, flags);
        if (result === MapResult.NO_FRAMES) real.unmap(0, 36);
        return result === MapResult.NO_FRAMES ? MapResult.MAPPED : result;
      },
    })),
    foundBy: "a space keeps to its frame quota, and a mapping that breaks it changes nothing",
  },
  {
    that: "does not destroy a space",
    make: wrongSpace(() => ({ destroy: () => undefined })),
    foundBy: "a space in use is not destroyed; a destroyed one gives its id and frames back",
  },
  {
    that: "loses an id with each space",
    make: wrong(
      (real) => ({
        createPagingSpace: (options) => {
          real.createPagingSpace({ frameQuota: 1 });
          return real.createPagingSpace(options);
        },
      }),
      { ...FULL, domainIdBits: 4 },
    ),
    foundBy: "a space in use is not destroyed; a destroyed one gives its id and frames back",
  },
];

/** Pages told of, by a filter over all that are dirty. */
function tellAll(real: PagingSpace): readonly { dfn: number; order: number }[] {
  const pages: { dfn: number; order: number }[] = [];
  real.readAndClearDirty(0, 36, (dfn, order) => pages.push({ dfn, order }));
  return pages;
}

const OTHERS: readonly Mutant[] = [
  {
    that: "cleans pages outside the range",
    make: wrongSpace((real) => ({
      readAndClearDirty: (first, order, dirty) => {
        for (const page of tellAll(real)) {
          if (page.dfn >= first && page.dfn < first + 2 ** order) dirty(page.dfn, page.order);
        }
      },
    })),
    foundBy: "only the range asked for is told of and made clean",
  },
  {
    that: "never cleans a page",
    make: wrongSpace((real) => {
      const told = new Map<number, number>();
      return {
        readAndClearDirty: (first, order, dirty) => {
          real.readAndClearDirty(first, order, (dfn, size) => told.set(dfn, size));
          for (const [dfn, size] of told) dirty(dfn, size);
        },
      };
    }),
    foundBy: DIRTY,
  },
  {
    that: "tells of a page once in its life",
    make: wrongSpace((real) => {
      const told = new Set<number>();
      return {
        readAndClearDirty: (first, order, dirty) => {
          real.readAndClearDirty(first, order, (dfn, size) => {
            if (!told.has(dfn)) dirty(dfn, size);
            told.add(dfn);
          });
        },
      };
    }),
    foundBy: DIRTY,
  },
  {
    that: "goes on tracking when told to stop",
    make: wrongSpace((real) => ({
      setDirtyTracking: (on) => {
        if (on) real.setDirtyTracking(on);
      },
    })),
    foundBy: DIRTY,
  },
  {
    that: "tells of large pages as of small ones",
    make: wrongSpace((real) => ({
      readAndClearDirty: (first, order, dirty) => {
        real.readAndClearDirty(first, order, (dfn) => {
          dirty(dfn, 0);
        });
      },
    })),
    foundBy: "a large page is told of in its order",
  },
  {
    that: "pretends to track",
    make: wrongSpace(() => ({ setDirtyTracking: () => undefined }), LEGACY),
    foundBy: "dirty tracking is refused where it can't be",
  },
  {
    that: "takes interrupts of anybody",
    make: () => {
      const harness = unitHarness();
      const interrupt: typeof harness.interrupt = (sourceId, handle) => {
        const own = harness.interrupt(sourceId, handle);
        return own.length > 0 ? own : harness.interrupt(harness.devices[0], handle);
      };
      return { ...harness, interrupt };
    },
    foundBy: HANDLES,
  },
  {
    that: "gives one handle to all",
    make: wrongInterrupts((real) => {
      let handle: number | null = null;
      return { allocate: (sourceId) => (handle ??= real.allocate(sourceId)) };
    }),
    foundBy: HANDLES,
  },
  {
    that: "delivers what it should block",
    make: wrongInterrupts((real) => ({
      program: (handle, target) => {
        if (target !== null) real.program(handle, target);
      },
    })),
    foundBy: "an interrupt goes where its handle was programmed to",
  },
  {
    that: "leaves freed handles as they are",
    make: wrongInterrupts(() => ({ free: () => undefined })),
    foundBy: FREED,
  },
  {
    that: "walks no first stage",
    make: wrong(() => ({
      createNestedSpace: (parent) => parent as unknown as NestedSpace,
    })),
    foundBy: NESTS,
  },
  { that: "invalidates nothing", make: wrongNested(() => ({ invalidate: () => undefined })), foundBy: DROPS }, // prettier-ignore
  {
    that: "invalidates pages only, not all",
    make: wrongNested((real) => ({
      invalidate: (page, order, leafOnly) => {
        if (order < 52) real.invalidate(page, order, leafOnly);
      },
    })),
    foundBy: DROPS,
  },
  {
    that: "tells no device what to drop",
    make: wrongCaching(() => ({ invalidateDeviceTlb: () => undefined })),
    foundBy: TOLD,
  },
  {
    that: "tells devices of requests without PASID alone",
    make: wrongCaching((real) => ({
      invalidateDeviceTlb: (sourceId, _pasid, page, order) => {
        real.invalidateDeviceTlb!(sourceId, NO_PASID, page, order);
      },
    })),
    foundBy: TOLD,
  },
  {
    that: "keeps the answers to page requests",
    make: wrongPages(() => ({ respond: () => true })),
    foundBy: ANSWERS,
  },
  {
    that: "takes answers to whatever group",
    make: wrongPages((real) => ({ respond: (...group) => real.respond(...group) || true })),
    foundBy: ANSWERS,
  },
  {
    that: "has nobody told of page requests",
    make: () => {
      const harness = asking();
      Object.defineProperty(harness.iommu.pageRequests, "listener", {
        get: () => null,
        set: () => undefined,
      });
      return harness;
    },
    foundBy: ANSWERS,
  },
  {
    that: "leaves page requests that nobody takes without an answer",
    make: () => {
      const harness = asking();
      return {
        ...harness,
        requestPage: (sourceId, pasid, address, answered) => {
          const told = (code: number): void => {
            if (code === 0) answered(code);
          };
          harness.requestPage!(sourceId, pasid, address, told);
        },
      };
    },
    foundBy: NOBODY,
  },
  {
    that: "leaves nested spaces out of a flush",
    make: wrongSpace((real) => ({
      flush: () => {
        const space = real as PagingSpace & { nested: Set<unknown> };
        const nested = [...space.nested];
        space.nested.clear();
        real.flush();
        for (const one of nested) space.nested.add(one);
      },
    })),
    foundBy: "a flush of the parent reaches nested spaces",
  },
  {
    that: "destroys the parent of nested spaces",
    make: wrongSpace((real) => ({
      destroy: () => {
        const space = real as PagingSpace & { nested: Set<unknown> };
        space.nested.clear();
        real.destroy();
      },
    })),
    foundBy: "a parent is not destroyed below a nested space, nor a nested space below a device",
  },
];

describe("the suite catches a physical IOMMU", () => {
  for (const { that, make, foundBy } of [...ATTACHMENTS, ...MAPPINGS, ...OTHERS]) {
    it(`that ${that}`, () => {
      const meant = physicalIommuConformance(make).filter(({ name }) => name === foundBy);
      const { passed, failed } = runConformance(meant);
      expect({ passed, failed: failed.length }).toEqual({ passed: 0, failed: 1 });
    });
  }
});

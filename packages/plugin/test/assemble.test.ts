import { describe, expect, it } from "vitest";
import { assemble, capability, collection, snapshottables, ViommuError } from "../src/index.ts";
import type { Host, Plugin } from "../src/index.ts";

const clock = capability<{ now: () => number }>("clock");
const lamps = collection<string>("lamps");

const makeClock = (name = "quartz"): Plugin => ({
  name,
  provides: [clock],
  setup: (host) => {
    host.provide(clock, { now: () => 7 });
  },
});
const lamp = (name: string): Plugin => ({
  name,
  provides: [lamps],
  setup: (host) => {
    host.provide(lamps, name);
  },
});
const refusal = (plugins: readonly Plugin[]): ViommuError => {
  try {
    assemble(plugins);
  } catch (error) {
    expect(error).toBeInstanceOf(ViommuError);
    return error as ViommuError;
  }
  throw new Error("was not refused");
};

describe("assembly", () => {
  it("sets a plugin up after the providers of what it needs, else in the order given", () => {
    const user: Plugin = {
      name: "user",
      needs: [clock, lamps],
      setup: (host) => {
        expect(host.use(clock).now()).toBe(7);
        expect(host.use(lamps)).toEqual(["red", "green"]);
      },
    };
    const machine = assemble([user, lamp("red"), makeClock(), lamp("green")]);
    expect(machine.order).toEqual(["quartz", "red", "green", "user"]);
    expect(machine.use(clock).now()).toBe(7);
  });

  it("gives an empty list for a collection that nobody fills", () => {
    expect(assemble([]).use(lamps)).toEqual([]);
  });

  it("calls all observers of a hook in order, and leaves unobserved hooks null", () => {
    const seen: string[] = [];
    const observer = (name: string): Plugin => ({
      name,
      setup: (host) => {
        host.on("workPending", (unit) => seen.push(`${name}:${unit}`));
      },
    });
    const machine = assemble([observer("a"), observer("b"), observer("c")]);
    machine.hooks.workPending?.("dmar0");
    expect(seen).toEqual(["a:dmar0", "b:dmar0", "c:dmar0"]);
    expect(machine.hooks.fault).toBeNull();
  });

  it("resets every part with state, then tells the observers", () => {
    const seen: string[] = [];
    const part: Plugin = {
      name: "part",
      provides: [snapshottables],
      setup: (host) => {
        host.on("reset", () => seen.push("observer"));
        host.provide(snapshottables, {
          snapshotId: "part",
          reset: () => seen.push("part"),
          save: () => new Uint8Array(),
          check: () => undefined,
          restore: () => undefined,
        });
      },
    };
    assemble([part]).reset();
    expect(seen).toEqual(["part", "observer"]);
  });
});

describe("assembly refuses, naming plugin and capability", () => {
  it("a missing capability", () => {
    const error = refusal([{ name: "user", needs: [clock], setup: () => undefined }]);
    expect(error.code).toBe("ERR_VIOMMU_MISSING");
    expect(error.message).toContain('"user" needs "clock"');
    expect(() => assemble([]).use(clock)).toThrow(/no plugin provides "clock"/);
  });

  it("a doubled capability", () => {
    const error = refusal([makeClock("quartz"), makeClock("sundial")]);
    expect(error.code).toBe("ERR_VIOMMU_DOUBLED");
    expect(error.message).toContain('"quartz" and "sundial" both provide "clock"');
  });

  it("a doubled plugin name", () => {
    expect(refusal([lamp("red"), lamp("red")]).code).toBe("ERR_VIOMMU_PLUGIN_NAME");
  });

  it("a circle, with every step of it", () => {
    const tide = capability<number>("tide");
    const error = refusal([
      { name: "moon", needs: [clock], provides: [tide], setup: () => undefined },
      { name: "sundial", needs: [tide], provides: [clock], setup: () => undefined },
    ]);
    expect(error.code).toBe("ERR_VIOMMU_CIRCULAR");
    expect(error.message).toContain('"moon" needs "clock" of "sundial"');
    expect(error.message).toContain('"sundial" needs "tide" of "moon"');
  });

  it("a service provided, or a hook observed, after sealing", () => {
    let host!: Host;
    const keepsItsHost: Plugin = {
      ...makeClock(),
      setup: (given) => {
        host = given;
        given.provide(clock, { now: () => 1 });
      },
    };
    assemble([keepsItsHost]);
    const late = { now: () => 2 };
    expect(() => {
      host.provide(clock, late);
    }).toThrow(
      expect.objectContaining({
        code: "ERR_VIOMMU_SEALED",
        message: expect.stringMatching(/"quartz".*"clock"/) as string,
      }) as Error,
    );
    expect(() => {
      host.on("reset", () => undefined);
    }).toThrow(/"quartz" observed the hook "reset"/);
  });

  it("what a plugin uses or provides without listing it, or lists without providing", () => {
    const sneaky = refusal([
      makeClock(),
      { name: "sneaky", setup: (host) => void host.use(clock) },
    ]);
    expect(sneaky.code).toBe("ERR_VIOMMU_UNDECLARED");
    expect(sneaky.message).toContain('"sneaky" uses "clock"');
    const lazy = refusal([{ name: "lazy", provides: [clock], setup: () => undefined }]);
    expect(lazy.code).toBe("ERR_VIOMMU_NOT_PROVIDED");
    expect(lazy.message).toContain('"lazy" lists "clock"');
  });
});

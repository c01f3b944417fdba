import { assertType, describe, expectTypeOf, it } from "vitest";
import { assemble, capability, collection, dmaRemappers, guestMemory } from "../src/index.ts";
import type { DmaRemapper, GuestMemory, Host, HookTable, Plugin } from "../src/index.ts";

const speed = capability<number>("speed");
const names = collection<string>("names");

describe("types of the plugin interface", () => {
  it("a key carries the type of its service", () => {
    const check = (host: Host): void => {
      expectTypeOf(host.use(speed)).toEqualTypeOf<number>();
      expectTypeOf(host.use(names)).toEqualTypeOf<readonly string[]>();
      expectTypeOf(host.use(guestMemory)).toEqualTypeOf<GuestMemory>();
      expectTypeOf(host.use(dmaRemappers)).toEqualTypeOf<readonly DmaRemapper[]>();
      host.provide(speed, 3);
      host.provide(names, "a");
      // @ts-expect-error a service of another type
      host.provide(speed, "fast");
      // @ts-expect-error one element at a time
      host.provide(names, ["a", "b"]);
      // @ts-expect-error no such hook
      host.on("lunch", () => undefined);
      host.on("fault", (unit, record) => {
        expectTypeOf(unit).toEqualTypeOf<string>();
        expectTypeOf(record.reason).toEqualTypeOf<number>();
      });
    };
    assertType<(host: Host) => void>(check);
  });

  it("a capability of one type is no capability of another", () => {
    // @ts-expect-error number is not string
    assertType<ReturnType<typeof capability<string>>>(speed);
    // @ts-expect-error one provider is not many
    assertType<ReturnType<typeof collection<number>>>(speed);
  });

  it("a plugin is a plain object", () => {
    assertType<Plugin>({ name: "p", setup: () => undefined });
    // @ts-expect-error a plugin has a name
    assertType<Plugin>({ setup: () => undefined });
    expectTypeOf(assemble([]).use(speed)).toEqualTypeOf<number>();
  });

  it("a hook is one function or null", () => {
    expectTypeOf<HookTable["reset"]>().toEqualTypeOf<(() => void) | null>();
  });
});

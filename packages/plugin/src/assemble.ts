import type { AnyCapability, Capability, Collection } from "./capability.ts";
import { ViommuError } from "./errors.ts";
import { both, createHookTable } from "./hooks.ts";
import type { HookTable, Hooks } from "./hooks.ts";
import { setupOrder } from "./order.ts";
import type { Host, Plugin } from "./plugin.ts";
import { snapshottables } from "./ports/capabilities.ts";

/** A sealed machine. */
export interface Assembly {
  /** Plugin names in the order of their set-up. */
  readonly order: readonly string[];
  readonly hooks: Readonly<HookTable>;
  use<T>(key: Capability<T>): T;
  use<T>(key: Collection<T>): readonly T[];
  /** Resets every part with state, then tells the `reset` observers. */
  reset(): void;
}

/**
 * Orders the plugins by need, sets each up once, and seals the result.
 *
 * Throws {@link ViommuError}, naming plugin and capability: ERR_VIOMMU_PLUGIN_NAME (doubled name),
 * ERR_VIOMMU_MISSING (a need nobody provides), ERR_VIOMMU_DOUBLED (two providers of one capability),
 * ERR_VIOMMU_CIRCULAR, ERR_VIOMMU_UNDECLARED (used or provided but not listed),
 * ERR_VIOMMU_NOT_PROVIDED (listed but not provided), ERR_VIOMMU_SEALED (after assembly).
 */
export function assemble(plugins: readonly Plugin[]): Assembly {
  const services = new Map<string, unknown[]>();
  const hooks = createHookTable();
  const ordered = setupOrder(plugins);
  let sealed = false;

  const refuseSealed = (plugin: Plugin, action: string): void => {
    if (!sealed) return;
    throw new ViommuError(
      "ERR_VIOMMU_SEALED",
      `plugin "${plugin.name}" ${action} after the machine was sealed; do it in setup()`,
    );
  };

  function use<T>(key: Capability<T>): T;
  function use<T>(key: Collection<T>): readonly T[];
  function use(key: AnyCapability): unknown {
    const found = services.get(key.id) ?? [];
    if (key.many) return [...found];
    if (found.length === 0) {
      throw new ViommuError(
        "ERR_VIOMMU_MISSING",
        `no plugin provides "${key.id}"; add one that does to the machine`,
      );
    }
    return found[0];
  }

  for (const plugin of ordered) {
    const host: Host = {
      hooks,
      use: ((key: Capability<unknown>) => {
        requireListed(plugin, plugin.needs, key, "uses", "needs");
        return use(key);
      }) as Host["use"],
      provide: (key: AnyCapability, service: unknown) => {
        refuseSealed(plugin, `provided "${key.id}"`);
        requireListed(plugin, plugin.provides, key, "provides", "provides");
        const list = services.get(key.id) ?? [];
        services.set(key.id, [...list, service]);
      },
      on: (hook, listener) => {
        refuseSealed(plugin, `observed the hook "${hook}"`);
        observe(hooks, hook, listener);
      },
    };
    const before = new Map([...services].map(([id, list]) => [id, list.length]));
    plugin.setup(host);
    for (const key of plugin.provides ?? []) {
      if ((services.get(key.id)?.length ?? 0) > (before.get(key.id) ?? 0)) continue;
      throw new ViommuError(
        "ERR_VIOMMU_NOT_PROVIDED",
        `plugin "${plugin.name}" lists "${key.id}" but did not provide it in setup()`,
      );
    }
  }
  sealed = true;

  return {
    order: ordered.map((plugin) => plugin.name),
    hooks,
    use,
    reset: () => {
      for (const part of use(snapshottables)) part.reset();
      hooks.reset?.();
    },
  };
}

type Listener = (this: void, ...args: never[]) => void;

function observe(hooks: HookTable, hook: keyof Hooks, listener: Listener): void {
  const table = hooks as unknown as Record<keyof Hooks, Listener | null>;
  table[hook] = both(table[hook], listener);
}

function requireListed(
  plugin: Plugin,
  list: readonly AnyCapability[] | undefined,
  key: AnyCapability,
  verb: string,
  member: string,
): void {
  if (list?.some((listed) => listed.id === key.id)) return;
  throw new ViommuError(
    "ERR_VIOMMU_UNDECLARED",
    `plugin "${plugin.name}" ${verb} "${key.id}" without listing it; add it to its \`${member}\``,
  );
}

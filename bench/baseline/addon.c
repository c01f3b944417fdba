// N-API face of the baselines. Every `run` function is one window: a loop over the address list that
// the JavaScript variants use too, so that one call across the border serves thousands of operations.
#include <node_api.h>

#ifdef WITH_GLIB
#include "hashed.h"
#endif
#include "ideal.h"
#include "interrupt.h"
#include "queue.h"

// One IOTLB of either kind; `hashed` is null for the ideal one.
struct iotlb {
  struct ideal *ideal;
#ifdef WITH_GLIB
  struct hashed *hashed;
#endif
  struct queue queue;
};

struct list {
  const uint64_t *values;
  size_t length; // a power of two
};

static double number_of(napi_env env, napi_value value) {
  double number = 0;
  napi_get_value_double(env, value, &number);
  return number;
}

static void *array_of(napi_env env, napi_value value, size_t *length) {
  void *data = NULL;
  *length = 0;
  napi_get_typedarray_info(env, value, NULL, length, &data, NULL, NULL);
  return data;
}

static struct list list_of(napi_env env, napi_value value) {
  struct list list;
  list.values = array_of(env, value, &list.length);
  return list;
}

// The buffer is fixed in size and pinned here for the life of the process.
static struct guest guest_of(napi_env env, napi_value value) {
  struct guest guest = {0};
  void *data;
  size_t size;
  napi_ref keep;
  if (napi_get_arraybuffer_info(env, value, &data, &size) != napi_ok) return guest;
  napi_create_reference(env, value, 1, &keep);
  guest.bytes = data;
  guest.size = size;
  return guest;
}

static void *handle_of(napi_env env, napi_value value) {
  void *handle = NULL;
  napi_get_value_external(env, value, &handle);
  return handle;
}

static napi_value handle(napi_env env, void *pointer) {
  napi_value value;
  napi_create_external(env, pointer, NULL, NULL, &value);
  return value;
}

static napi_value number(napi_env env, double value) {
  napi_value result;
  napi_create_double(env, value, &result);
  return result;
}

// A failed operation shows in the sum that is compared with the JavaScript variant's.
#define FAILED 0x80000000u

#define ARGUMENTS(count)   \
  size_t argc = count;     \
  napi_value argv[count]; \
  napi_get_cb_info(env, info, &argc, argv, NULL, NULL)

// createIdeal(memory, roots: Float64Array, levels, slots): one device and one domain for each root.
static napi_value create_ideal(napi_env env, napi_callback_info info) {
  ARGUMENTS(4);
  size_t count;
  const double *roots = array_of(env, argv[1], &count);
  struct iotlb *iotlb = calloc(1, sizeof *iotlb);
  iotlb->ideal = ideal_create(guest_of(env, argv[0]), roots, (unsigned)count,
                              (unsigned)number_of(env, argv[2]), (unsigned)number_of(env, argv[3]));
  return handle(env, iotlb);
}

#ifdef WITH_GLIB
// createHashed(memory, roots: Float64Array, levels, cap)
static napi_value create_hashed(napi_env env, napi_callback_info info) {
  ARGUMENTS(4);
  size_t count;
  const double *roots = array_of(env, argv[1], &count);
  struct iotlb *iotlb = calloc(1, sizeof *iotlb);
  iotlb->hashed = hashed_create(guest_of(env, argv[0]), roots, (unsigned)count,
                                (unsigned)number_of(env, argv[2]), (unsigned)number_of(env, argv[3]));
  return handle(env, iotlb);
}
#endif

static uint32_t ideal_window(struct ideal *ideal, unsigned device, struct list list, size_t start,
                             size_t count, bool flush) {
  uint32_t sum = 0;
  struct walk_result result = {0};
  for (size_t i = start; i < start + count; i++) {
    size_t at = i & (list.length - 1);
    if (flush && at == 0) ideal_invalidate_global(ideal);
    sum += ideal_translate(ideal, &ideal->devices[device], list.values[at], READ, &result)
               ? FAILED
               : (uint32_t)(result.address >> PAGE_SHIFT);
  }
  return sum;
}

#ifdef WITH_GLIB
static uint32_t hashed_window(struct hashed *hashed, unsigned device, struct list list, size_t start,
                              size_t count, bool flush) {
  uint32_t sum = 0;
  for (size_t i = start; i < start + count; i++) {
    size_t at = i & (list.length - 1);
    if (flush && at == 0) hashed_invalidate_global(hashed);
    struct hashed_result result = hashed_translate(hashed, device, list.values[at], READ);
    sum += result.fault ? FAILED : (uint32_t)(result.address >> PAGE_SHIFT);
  }
  return sum;
}
#endif

// translate(iotlb, device, list, start, count, flush): `flush` empties the IOTLB once a round.
static napi_value translate(napi_env env, napi_callback_info info) {
  ARGUMENTS(6);
  struct iotlb *iotlb = handle_of(env, argv[0]);
  unsigned device = (unsigned)number_of(env, argv[1]);
  struct list list = list_of(env, argv[2]);
  size_t start = (size_t)number_of(env, argv[3]), count = (size_t)number_of(env, argv[4]);
  bool flush = number_of(env, argv[5]) != 0;
#ifdef WITH_GLIB
  if (iotlb->hashed)
    return number(env, hashed_window(iotlb->hashed, device, list, start, count, flush));
#endif
  return number(env, ideal_window(iotlb->ideal, device, list, start, count, flush));
}

// walk(iotlb, device, list, start, count): the loop over the levels alone.
static napi_value walk_only(napi_env env, napi_callback_info info) {
  ARGUMENTS(5);
  struct iotlb *iotlb = handle_of(env, argv[0]);
  const struct ideal_device *device = &iotlb->ideal->devices[(unsigned)number_of(env, argv[1])];
  struct list list = list_of(env, argv[2]);
  size_t start = (size_t)number_of(env, argv[3]), count = (size_t)number_of(env, argv[4]);
  uint32_t sum = 0;
  struct walk_result result = {0};
  for (size_t i = start; i < start + count; i++) {
    uint64_t address = list.values[i & (list.length - 1)];
    sum += walk(&iotlb->ideal->guest, device->root, device->levels, address, READ, &result)
               ? FAILED
               : (uint32_t)(result.address >> PAGE_SHIFT);
  }
  return number(env, sum);
}

// nestedWalk(memory, firstRoot, secondRoot, list, start, count)
static napi_value nested_walk_only(napi_env env, napi_callback_info info) {
  ARGUMENTS(6);
  struct guest guest = {0};
  void *data;
  size_t size;
  napi_get_arraybuffer_info(env, argv[0], &data, &size);
  guest.bytes = data;
  guest.size = size;
  uint64_t first = (uint64_t)number_of(env, argv[1]), second = (uint64_t)number_of(env, argv[2]);
  struct list list = list_of(env, argv[3]);
  size_t start = (size_t)number_of(env, argv[4]), count = (size_t)number_of(env, argv[5]);
  uint32_t sum = 0;
  struct walk_result result = {0};
  for (size_t i = start; i < start + count; i++) {
    uint64_t address = list.values[i & (list.length - 1)];
    sum += nested_walk(&guest, first, second, address, READ, &result)
               ? FAILED
               : (uint32_t)(result.address >> PAGE_SHIFT);
  }
  return number(env, sum);
}

static void page_in_ideal(void *iotlb, unsigned domain, uint64_t address, unsigned order) {
  ideal_invalidate_page(iotlb, domain, address, order);
}

#ifdef WITH_GLIB
static void page_in_hashed(void *iotlb, unsigned domain, uint64_t address, unsigned order) {
  hashed_invalidate_page(iotlb, domain, address, order);
}
#endif

// invalidatePages(iotlb, domain, list, start, count)
static napi_value invalidate_pages(napi_env env, napi_callback_info info) {
  ARGUMENTS(5);
  struct iotlb *iotlb = handle_of(env, argv[0]);
  unsigned domain = (unsigned)number_of(env, argv[1]);
  struct list list = list_of(env, argv[2]);
  size_t start = (size_t)number_of(env, argv[3]), count = (size_t)number_of(env, argv[4]);
  for (size_t i = start; i < start + count; i++) {
    uint64_t address = list.values[i & (list.length - 1)];
#ifdef WITH_GLIB
    if (iotlb->hashed) {
      hashed_invalidate_page(iotlb->hashed, domain, address, 0);
      continue;
    }
#endif
    ideal_invalidate_page(iotlb->ideal, domain, address, 0);
  }
  return number(env, 0);
}

// invalidateDomains(iotlb, start, count): the domains in turn.
static napi_value invalidate_domains(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  struct iotlb *iotlb = handle_of(env, argv[0]);
  size_t start = (size_t)number_of(env, argv[1]), count = (size_t)number_of(env, argv[2]);
  for (size_t i = start; i < start + count; i++) {
#ifdef WITH_GLIB
    if (iotlb->hashed) {
      hashed_invalidate_domain(iotlb->hashed, (unsigned)(i % iotlb->hashed->device_count));
      continue;
    }
#endif
    ideal_invalidate_domain(iotlb->ideal, (unsigned)(i % iotlb->ideal->device_count));
  }
  return number(env, 0);
}

// invalidateGlobal(iotlb, count)
static napi_value invalidate_global(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  struct iotlb *iotlb = handle_of(env, argv[0]);
  size_t count = (size_t)number_of(env, argv[1]);
  for (size_t i = 0; i < count; i++) {
#ifdef WITH_GLIB
    if (iotlb->hashed) {
      hashed_invalidate_global(iotlb->hashed);
      continue;
    }
#endif
    ideal_invalidate_global(iotlb->ideal);
  }
  return number(env, 0);
}

// attachQueue(iotlb, memory, base, bytes)
static napi_value attach_queue(napi_env env, napi_callback_info info) {
  ARGUMENTS(4);
  struct iotlb *iotlb = handle_of(env, argv[0]);
  iotlb->queue = (struct queue){.guest = guest_of(env, argv[1]),
                                .base = (uint64_t)number_of(env, argv[2]),
                                .bytes = (uint32_t)number_of(env, argv[3]),
                                .iotlb = iotlb->ideal,
                                .invalidate = page_in_ideal};
#ifdef WITH_GLIB
  if (iotlb->hashed) {
    iotlb->queue.iotlb = iotlb->hashed;
    iotlb->queue.invalidate = page_in_hashed;
  }
#endif
  return number(env, 0);
}

// queuePages(iotlb, domain, list, start, count, status): the guest stores a page-selective descriptor
// and a wait descriptor, writes the tail, and reads the status word; all of it is timed.
static napi_value queue_pages(napi_env env, napi_callback_info info) {
  ARGUMENTS(6);
  struct iotlb *iotlb = handle_of(env, argv[0]);
  struct queue *queue = &iotlb->queue;
  uint64_t domain = (uint64_t)number_of(env, argv[1]);
  struct list list = list_of(env, argv[2]);
  size_t start = (size_t)number_of(env, argv[3]), count = (size_t)number_of(env, argv[4]);
  uint64_t status = (uint64_t)number_of(env, argv[5]);
  uint32_t failures = 0;
  for (size_t i = start; i < start + count; i++) {
    uint64_t word = (uint32_t)i;
    uint64_t descriptors[4] = {DESCRIPTOR_IOTLB | 3 << 4 | domain << 16,
                               list.values[i & (list.length - 1)] & ~PAGE_MASK,
                               DESCRIPTOR_WAIT | 1 << 5 | word << 32, status};
    memcpy(queue->guest.bytes + queue->base + queue->head, descriptors, sizeof descriptors);
    uint32_t done;
    failures += queue_write_tail(queue, (queue->head + 32) & (queue->bytes - 1)) != QUEUE_OK;
    memcpy(&done, queue->guest.bytes + status, 4);
    failures += done != (uint32_t)i;
  }
  return number(env, failures);
}

// createRemap(memory, table, entries)
static napi_value create_remap(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  struct remap_unit *unit = calloc(1, sizeof *unit);
  unit->guest = guest_of(env, argv[0]);
  unit->table = (uint64_t)number_of(env, argv[1]);
  unit->entries = (uint32_t)number_of(env, argv[2]);
  unit->reserved_low = UINT64_C(0xffff00ffff00f000);
  return handle(env, unit);
}

// remap(unit, sourceId, list, start, count, ioapic): a list item is an MSI, data above address, or
// a redirection entry.
static napi_value remap_messages(napi_env env, napi_callback_info info) {
  ARGUMENTS(6);
  const struct remap_unit *unit = handle_of(env, argv[0]);
  unsigned source_id = (unsigned)number_of(env, argv[1]);
  struct list list = list_of(env, argv[2]);
  size_t start = (size_t)number_of(env, argv[3]), count = (size_t)number_of(env, argv[4]);
  bool ioapic = number_of(env, argv[5]) != 0;
  uint32_t sum = 0;
  struct message message = {0};
  for (size_t i = start; i < start + count; i++) {
    uint64_t item = list.values[i & (list.length - 1)];
    uint32_t address = (uint32_t)item, data = (uint32_t)(item >> 32);
    if (ioapic) ioapic_message(item, &address, &data);
    sum += remap(unit, source_id, address, data, &message) ? FAILED : message.address + message.data;
  }
  return number(env, sum);
}

static napi_value start(napi_env env, napi_value exports) {
  const struct {
    const char *name;
    napi_callback call;
  } functions[] = {
      {"createIdeal", create_ideal},
#ifdef WITH_GLIB
      {"createHashed", create_hashed},
#endif
      {"translate", translate},
      {"walk", walk_only},
      {"nestedWalk", nested_walk_only},
      {"invalidatePages", invalidate_pages},
      {"invalidateDomains", invalidate_domains},
      {"invalidateGlobal", invalidate_global},
      {"attachQueue", attach_queue},
      {"queuePages", queue_pages},
      {"createRemap", create_remap},
      {"remap", remap_messages},
  };
  for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
    napi_value function;
    napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].call, NULL, &function);
    napi_set_named_property(env, exports, functions[i].name, function);
  }
  return exports;
}

NAPI_MODULE(viommu_baseline, start)

// An IOTLB as device models of the C world commonly build it on glib: one hash table behind a mutex,
// a struct as key, one probe per page size, allocation per entry, everything dropped when it is full.
#pragma once
#include <glib.h>
#include <pthread.h>

#include "walk.h"

struct hashed_key {
  uint64_t gfn;
  uint32_t pasid;
  uint16_t source_id;
  uint8_t level;
};

struct hashed_entry {
  uint64_t gfn;
  uint64_t frame;
  uint64_t mask;
  uint32_t pasid;
  uint16_t domain;
  uint8_t granted;
  uint8_t level;
};

struct hashed_result {
  uint64_t address;
  uint64_t mask;
  unsigned granted;
  unsigned fault;
};

struct hashed {
  struct guest guest;
  pthread_mutex_t lock;
  GHashTable *entries;
  unsigned cap; // 0: without limit
  unsigned levels;
  unsigned device_count;
  uint64_t roots[];
};

static guint hashed_hash(gconstpointer pointer) {
  const struct hashed_key *key = pointer;
  uint64_t value = key->gfn | (uint64_t)key->level << 56;
  uint64_t mixed = value ^ ((uint64_t)key->source_id << 40) ^ ((uint64_t)key->pasid << 20);
  return (guint)(mixed ^ (mixed >> 32));
}

static gboolean hashed_equal(gconstpointer left, gconstpointer right) {
  const struct hashed_key *a = left, *b = right;
  return a->gfn == b->gfn && a->source_id == b->source_id && a->pasid == b->pasid &&
         a->level == b->level;
}

static struct hashed *hashed_create(struct guest guest, const double *roots, unsigned count,
                                    unsigned levels, unsigned cap) {
  struct hashed *hashed = g_malloc0(sizeof *hashed + count * sizeof hashed->roots[0]);
  hashed->guest = guest;
  pthread_mutex_init(&hashed->lock, NULL);
  hashed->entries = g_hash_table_new_full(hashed_hash, hashed_equal, g_free, g_free);
  hashed->cap = cap;
  hashed->levels = levels;
  hashed->device_count = count;
  for (unsigned i = 0; i < count; i++) hashed->roots[i] = (uint64_t)roots[i];
  return hashed;
}

static struct hashed_entry *hashed_lookup(struct hashed *hashed, unsigned device, uint64_t address) {
  struct hashed_key key = {.pasid = UINT32_MAX, .source_id = (uint16_t)device};
  for (unsigned level = 1; level <= 3; level++) {
    key.gfn = address >> level_shift(level);
    key.level = (uint8_t)level;
    struct hashed_entry *entry = g_hash_table_lookup(hashed->entries, &key);
    if (entry) return entry;
  }
  return NULL;
}

static void hashed_fill(struct hashed *hashed, unsigned device, uint64_t address,
                        const struct walk_result *walked) {
  if (hashed->cap && g_hash_table_size(hashed->entries) >= hashed->cap)
    g_hash_table_remove_all(hashed->entries);
  struct hashed_key *key = g_new(struct hashed_key, 1);
  struct hashed_entry *entry = g_new(struct hashed_entry, 1);
  uint64_t mask = (UINT64_C(1) << walked->shift) - 1;
  *key = (struct hashed_key){.gfn = address >> walked->shift,
                             .pasid = UINT32_MAX,
                             .source_id = (uint16_t)device,
                             .level = (uint8_t)((walked->shift - PAGE_SHIFT) / 9 + 1)};
  *entry = (struct hashed_entry){.gfn = address >> PAGE_SHIFT,
                                 .frame = walked->address & ~mask,
                                 .mask = mask,
                                 .pasid = UINT32_MAX,
                                 .domain = (uint16_t)device,
                                 .granted = (uint8_t)walked->granted,
                                 .level = key->level};
  g_hash_table_replace(hashed->entries, key, entry);
}

static __attribute__((noinline)) struct hashed_result hashed_translate(struct hashed *hashed,
                                                                       unsigned device,
                                                                       uint64_t address,
                                                                       unsigned need) {
  struct hashed_result result = {0};
  pthread_mutex_lock(&hashed->lock);
  const struct hashed_entry *entry = hashed_lookup(hashed, device, address);
  if (entry) {
    result.fault = need & ~entry->granted ? FAULT_WRITE : 0;
    result.address = entry->frame | (address & entry->mask);
    result.mask = entry->mask;
    result.granted = entry->granted;
  } else {
    struct walk_result walked;
    result.fault =
        walk(&hashed->guest, hashed->roots[device], hashed->levels, address, need, &walked);
    if (!result.fault) {
      hashed_fill(hashed, device, address, &walked);
      result.address = walked.address;
      result.mask = (UINT64_C(1) << walked.shift) - 1;
      result.granted = walked.granted;
    }
  }
  pthread_mutex_unlock(&hashed->lock);
  return result;
}

struct hashed_range {
  uint64_t gfn;
  uint64_t mask;
  unsigned domain;
};

static gboolean hashed_in_domain(gpointer key, gpointer value, gpointer data) {
  (void)key;
  return ((const struct hashed_entry *)value)->domain == *(const unsigned *)data;
}

static gboolean hashed_in_range(gpointer key, gpointer value, gpointer data) {
  (void)key;
  const struct hashed_entry *entry = value;
  const struct hashed_range *range = data;
  uint64_t page_mask = range->mask & ~(entry->mask >> PAGE_SHIFT);
  return entry->domain == range->domain && (entry->gfn & page_mask) == (range->gfn & page_mask);
}

static void hashed_invalidate_domain(struct hashed *hashed, unsigned domain) {
  pthread_mutex_lock(&hashed->lock);
  g_hash_table_foreach_remove(hashed->entries, hashed_in_domain, &domain);
  pthread_mutex_unlock(&hashed->lock);
}

static void hashed_invalidate_global(struct hashed *hashed) {
  pthread_mutex_lock(&hashed->lock);
  g_hash_table_remove_all(hashed->entries);
  pthread_mutex_unlock(&hashed->lock);
}

static void hashed_invalidate_page(struct hashed *hashed, unsigned domain, uint64_t address,
                                   unsigned order) {
  struct hashed_range range = {.gfn = address >> PAGE_SHIFT,
                               .mask = ~((UINT64_C(1) << order) - 1),
                               .domain = domain};
  pthread_mutex_lock(&hashed->lock);
  g_hash_table_foreach_remove(hashed->entries, hashed_in_range, &range);
  pthread_mutex_unlock(&hashed->lock);
}

/* A flow line with one server at each station, as an event list in C: a binary heap of what is due, linked lists of who waits.
   Jobs come with the gaps given and take the service times given, all in whole seconds. Writes when each job came and left, and, if
   there is room for it, the log that our engines write: the same rows, byte by byte, in the same order. Given the addresses of our
   draws, it draws gaps and service times itself, each when it is needed and to the bit. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

enum { QUEUED = 0, WORKED = 2, LEFT = 6, WORKING = 7 };

#pragma pack(push, 1)
typedef struct {            /* foundry.events.EVENTS */
    int64_t time, since;
    int8_t kind;
    int32_t batch;
    int16_t product;
    int32_t token;
    int16_t step, attempt, resource;
    int32_t unit;
    double value;
    int32_t reason;
    int8_t open;
} Row;
#pragma pack(pop)

/* Exponential laws of gaps and services: scale * -mean * log1p(-u), u the word of Philox4x64-10 at (key; replication, who, 0, 1). */
typedef struct {
    int64_t seed, replication, gap_key;
    const int64_t *service_keys;
    double gap_mean, gap_scale, service_mean, service_scale;
} Laws;

static inline double uniform(const Laws *laws, int64_t key, int64_t who) {
    uint64_t w0 = laws->replication, w1 = who, w2 = 0, w3 = 1, k0 = laws->seed, k1 = key;
    for (int round = 0; round < 10; round++) {
        unsigned __int128 first = (unsigned __int128)0xD2E7470EE14C6C93u * w0, second = (unsigned __int128)0xCA5A826395121157u * w2;
        w0 = (uint64_t)(second >> 64) ^ w1 ^ k0, w1 = (uint64_t)second;
        w2 = (uint64_t)(first >> 64) ^ w3 ^ k1, w3 = (uint64_t)first;
        k0 += 0x9E3779B97F4A7C15u, k1 += 0xBB67AE8584CAA73Bu;
    }
    return ((double)(w0 >> 12) + 0.5) * 0x1p-52;
}

static inline int64_t drawn(const Laws *laws, int64_t key, int64_t who, double mean, double scale) {
    return (int64_t)floor(scale * (-mean * log1p(-uniform(laws, key, who))) + 0.5);
}

static inline int row_before(const Row *a, const Row *b) {
    if (a->since != b->since) return a->since < b->since;
    if (a->kind != b->kind) return a->kind < b->kind;
    if (a->batch != b->batch) return a->batch < b->batch;
    return a->step < b->step;
}

/* Rows of one second, sorted by insertion. */
static inline void sort_rows(Row *rows, int64_t count) {
    for (int64_t k = 1; k < count; k++) {
        if (!row_before(rows + k, rows + k - 1)) continue;
        Row row = rows[k];
        int64_t place = k;
        do { rows[place] = rows[place - 1]; place--; } while (place > 0 && row_before(&row, rows + place - 1));
        rows[place] = row;
    }
}

typedef struct { int64_t time, order, job; } Due;

static inline int before(const Due *a, const Due *b) { return a->time < b->time || (a->time == b->time && a->order < b->order); }

static inline int64_t push(Due *heap, int64_t count, Due due) {
    int64_t place = count;
    while (place > 0) {
        int64_t above = (place - 1) / 2;
        if (!before(&due, heap + above)) break;
        heap[place] = heap[above];
        place = above;
    }
    heap[place] = due;
    return count + 1;
}

static inline int64_t pop(Due *heap, int64_t count) {
    Due last = heap[--count];
    int64_t place = 0;
    for (;;) {
        int64_t below = 2 * place + 1;
        if (below >= count) break;
        if (below + 1 < count && before(heap + below + 1, heap + below)) below++;
        if (!before(heap + below, &last)) break;
        heap[place] = heap[below];
        place = below;
    }
    heap[place] = last;
    return count;
}

int64_t flow_line(int64_t jobs, int64_t stations, const int64_t *gaps, const int64_t *services, int64_t *came, int64_t *left,
                  Row *rows, int32_t finished, int64_t *row_count, const Laws *laws) {
    #define GAP(job) (laws ? drawn(laws, laws->gap_key, job, laws->gap_mean, laws->gap_scale) : gaps[job])
    #define SERVICE(job, s) \
        (laws ? drawn(laws, laws->service_keys[s], job, laws->service_mean, laws->service_scale) : services[(job) * stations + (s)])
    Due *heap = malloc((stations + 2) * sizeof *heap);
    int64_t *first = malloc(stations * sizeof *first), *last = malloc(stations * sizeof *last), *next = malloc(jobs * sizeof *next);
    int64_t *station = malloc(jobs * sizeof *station), *busy = calloc(stations, sizeof *busy);
    int64_t *joined = malloc(jobs * sizeof *joined), *started = malloc(jobs * sizeof *started);
    int64_t count = 0, order = 0, events = 0, gone = 0, written = 0, second = 0, clock = -1;
    for (int64_t s = 0; s < stations; s++) first[s] = -1;
    count = push(heap, count, (Due){GAP(0), order++, 0});
    station[0] = -1;
    while (gone < jobs) {
        int64_t now = heap[0].time, job = heap[0].job, s = station[job];
        count = pop(heap, count);
        events++;
        if (rows && now > clock) {
            sort_rows(rows + second, written - second);
            second = written;
            clock = now;
        }
        if (s < 0) {
            came[job] = now;
            if (job + 1 < jobs) {
                station[job + 1] = -1;
                count = push(heap, count, (Due){now + GAP(job + 1), order++, job + 1});
            }
        } else {
            if (rows) {
                rows[written++] = (Row){now, started[job], WORKED, job, 0, 0, s, 1, -1, -1, 0.0, 0, 0};
                if (now > started[job]) rows[written++] = (Row){now, started[job], WORKING, job, 0, 0, s, 1, s, 0, -1.0, 0, 0};
            }
            int64_t waiting = first[s];
            busy[s] = waiting >= 0;
            if (waiting >= 0) {
                first[s] = next[waiting];
                if (rows) rows[written++] = (Row){now, joined[waiting], QUEUED, waiting, 0, 0, s, 1, -1, -1, -1.0, 0, 0};
                started[waiting] = now;
                count = push(heap, count, (Due){now + SERVICE(waiting, s), order++, waiting});
            }
        }
        if (++s == stations) {
            left[job] = now;
            if (rows) rows[written++] = (Row){now, came[job], LEFT, job, 0, 0, s - 1, 1, -1, -1, 0.0, finished, 0};
            gone++;
            continue;
        }
        station[job] = s;
        joined[job] = now;
        if (!busy[s]) {
            busy[s] = 1;
            if (rows) rows[written++] = (Row){now, joined[job], QUEUED, job, 0, 0, s, 1, -1, -1, -1.0, 0, 0};
            started[job] = now;
            count = push(heap, count, (Due){now + SERVICE(job, s), order++, job});
        } else {
            next[job] = -1;
            if (first[s] < 0) first[s] = job; else next[last[s]] = job;
            last[s] = job;
        }
    }
    if (rows) sort_rows(rows + second, written - second);
    *row_count = written;
    free(joined); free(started); free(heap); free(first); free(last); free(next); free(station); free(busy);
    return events;
}

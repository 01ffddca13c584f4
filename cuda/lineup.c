#include "cuda/lineup.h"

#include <string.h>

#include "base/cache.h"
#include "base/digest.h"
#include "base/mem.h"
#include "cuda/half.h"
#include "cuda/trial.h"

/* In the place of an engine's text: our own kernel. */
#define OWN "own"

enum { MOST_LIBRARIES = 3 };

struct member {
    const kz_rival_table *table;
    kz_rival_library *library;
};

struct kz_rivals {
    struct member members[MOST_LIBRARIES];
    int count;
    kz_choices *choices;
    char *name;
};

/* Steps that do the same with different weights share an engine. */
struct engine {
    char layer[KZ_CHOICE_LAYER], text[KZ_CHOICE_ENGINE];
    const kz_rival_table *table;
    kz_rival_engine *opened; /* NULL: our kernel does it */
    bool failed;             /* so it does from then on */
};

struct kz_lineup {
    kz_rivals *rivals;
    kz_gpu *gpu;
    kz_log *log;
    const kz_program *program;
    struct engine *engines; /* [as many as steps] */
    int n_engines;
    int *of_step;   /* [steps] an index into engines, or -1 */
    size_t *offset; /* [steps] of weights */
    char *weights;  /* of the device */
    size_t bytes;
    bool said; /* that engines are timed */
    int left;  /* engines that failed */
};

/* ---- the libraries ---- */

/* What decides who is fastest, beside the layer. */
static char *machine_of(const kz_gpu_info *i, const char *name)
{
    return kz_asprintf("kizuna %s, %s %d.%d, %d processors, driver %d, runtime %d, %s", KZ_VERSION,
                       i->name, i->major, i->minor, i->processors, i->driver, i->runtime, name);
}

/* "cuDNN 91900", of all. */
static char *name_of(const kz_rivals *r)
{
    char *name = NULL;
    for (int i = 0; i < r->count && (i == 0 || name); i++) {
        const struct member *m = &r->members[i];
        char *longer = kz_asprintf("%s%s%s %zu", name ? name : "", name ? ", " : "", m->table->name,
                                   m->table->version(m->library));
        kz_free(name);
        name = longer;
    }
    return name;
}

static int open_choices(kz_rivals *r, kz_gpu *gpu, kz_log *log)
{
    r->name = name_of(r);
    char *machine = r->name ? machine_of(kz_gpu_get_info(gpu), r->name) : NULL;
    char *folder = kz_cache_folder();
    const int error =
        machine ? kz_choices_open(&r->choices, folder, machine, log) : KZ_ERROR_MEMORY;
    kz_free(machine);
    kz_free(folder);
    return error;
}

static int join(kz_rivals *r, const kz_rival_table *table, kz_gpu *gpu)
{
    struct member *m = &r->members[r->count];
    m->table = table;
    const int error = table->open(&m->library, gpu);
    if (!error)
        r->count++;
    return error;
}

int kz_rivals_open(kz_rivals **rivals, kz_gpu *gpu, kz_log *log)
{
    kz_rivals *r = *rivals = kz_alloc(1, sizeof(*r));
    if (!r)
        return KZ_ERROR_MEMORY;
    int error = join(r, &kz_rival_wgmma, gpu) == KZ_ERROR_MEMORY ? KZ_ERROR_MEMORY : 0;
    if (!error)
        error = join(r, &kz_rival_tail, gpu);
    if (!error && kz_rival_linked && join(r, kz_rival_linked, gpu))
        kz_log_line(log, KZ_LOG_VERBOSE, "%s can't be used here: our own kernels do it all",
                    kz_rival_linked->name);
    if (!error && r->count)
        error = open_choices(r, gpu, log);
    if (error || !r->count)
        kz_rivals_close(rivals);
    return error;
}

void kz_rivals_close(kz_rivals **rivals)
{
    kz_rivals *r = *rivals;
    if (!r)
        return;
    kz_choices_close(&r->choices);
    for (int i = 0; i < r->count; i++)
        r->members[i].table->close(&r->members[i].library);
    kz_free(r->name);
    kz_free(r);
    *rivals = NULL;
}

/* ---- layers ---- */

static bool could_compute(const kz_rival_table *table, const kz_step *s)
{
    return s->kind == KZ_STEP_CONV && table->fits(&s->conv);
}

static bool is_rivalled(const kz_rivals *r, const kz_step *s)
{
    for (int i = 0; i < r->count; i++)
        if (could_compute(r->members[i].table, s))
            return true;
    return false;
}

/* Somebody wants its weights a second time. */
static bool has_weights(const kz_rivals *r, const kz_step *s)
{
    for (int i = 0; i < r->count; i++)
        if (!r->members[i].table->own_weights && could_compute(r->members[i].table, s))
            return true;
    return false;
}

static size_t weight_count(const kz_conv_task *t)
{
    return (size_t)(t->phases ? 4 : 1) * (size_t)(t->kernel * t->kernel) * (size_t)t->in.channels *
           (size_t)t->out.channels;
}

static size_t weight_bytes(const kz_conv_task *t)
{
    return kz_gpu_aligned(weight_count(t) * kz_element_bytes(t->in.element));
}

size_t kz_lineup_need(const kz_program *program)
{
    size_t bytes = 0;
    for (int i = 0; kz_rival_linked && i < program->n_steps; i++)
        if (could_compute(kz_rival_linked, &program->steps[i]))
            bytes += weight_bytes(&program->steps[i].conv);
    return bytes;
}

/* All that an engine is made for, so that equal texts are equal layers. */
static bool write_layer(char text[KZ_CHOICE_LAYER], const kz_rival_layer *l)
{
    static const char *const elements[] = {"fp32", "fp16", "bf16"};
    const kz_conv_task *t = &l->task;
    int at = snprintf(text, KZ_CHOICE_LAYER, "%s %dx%d %d/%d>%d/%d kernel %d pad %d,%d%s act %d %a",
                      t->tf32 ? "tf32" : elements[t->in.element], t->in.width, t->in.height,
                      t->in.channels, t->in.pixel, t->out.channels, t->out.pixel, t->kernel,
                      t->pad_top, t->pad_left, t->phases ? " phases" : "", (int)l->act,
                      l->act == KZ_ACT_LEAKY ? (double)l->slope : 0);
    for (int i = 0; i < t->n_residuals && at < KZ_CHOICE_LAYER; i++)
        at += snprintf(text + at, (size_t)(KZ_CHOICE_LAYER - at), " + %a*%d", (double)t->coefs[i],
                       t->residuals[i].pixel);
    if (t->first && at < KZ_CHOICE_LAYER)
        at += snprintf(text + at, (size_t)(KZ_CHOICE_LAYER - at), " behind %d/%d>%d",
                       t->first->in.channels, t->first->in.pixel, t->first->out.channels);
    return at < KZ_CHOICE_LAYER;
}

static kz_rival_layer layer_of(const kz_lineup_params *p, const kz_step *s)
{
    const kz_node *node = &p->graph->nodes[s->node];
    return (kz_rival_layer){.task = kz_step_task(s, p->arena, p->constants, &p->input),
                            .act = node->act,
                            .slope = node->slope};
}

/* ---- weights ---- */

static void pack(const kz_conv_task *t, const float *weights, void *packed)
{
    const int taps = t->kernel * t->kernel, inputs = t->in.channels;
    const int rows = (t->phases ? 4 : 1) * t->out.channels;
    size_t at = 0;
    for (int row = 0; row < rows; row++)
        for (int tap = 0; tap < taps; tap++)
            for (int in = 0; in < inputs; in++)
                kz_put_element(packed, t->in.element, at++,
                               weights[((size_t)row * (size_t)inputs + (size_t)in) * (size_t)taps +
                                       (size_t)tap]);
}

/* Of all layers that an engine might compute: they are wanted for choosing already. */
static int upload_weights(kz_lineup *l, const kz_graph *graph)
{
    if (!l->bytes)
        return 0;
    char *packed = kz_alloc(l->bytes, 1);
    int error = KZ_ERROR_MEMORY;
    l->weights = kz_gpu_alloc(l->gpu, l->bytes);
    if (packed && l->weights) {
        for (int i = 0; i < l->program->n_steps; i++) {
            const kz_step *s = &l->program->steps[i];
            if (has_weights(l->rivals, s))
                pack(&s->conv, graph->nodes[s->node].weights, packed + l->offset[i]);
        }
        kz_gpu_copy_in(l->gpu, l->weights, l->bytes, packed, (ptrdiff_t)l->bytes, l->bytes, 1);
        error = kz_gpu_wait(l->gpu);
    }
    kz_free(packed);
    return error;
}

static kz_conv_task with_weights(const kz_lineup *l, int step, const kz_conv_task *task)
{
    kz_conv_task theirs = *task;
    theirs.weights = l->weights ? l->weights + l->offset[step] : NULL;
    return theirs;
}

/* ---- choose ---- */

struct choice {
    kz_lineup *lineup;
    const kz_lineup_params *params;
    int step;
    kz_rival_layer layer;
    kz_conv_task first; /* the step before's, where the layer has it */
    struct engine *engine;
    kz_trial trial;
    char texts[KZ_TRIAL_MOST][KZ_CHOICE_ENGINE]; /* of the trial's engines */
};

/* The program's kernels; `fastest`: two layers, which an engine might compute at once, as they are
 * computed one by one. */
static void run_program(void *context, bool fastest)
{
    const struct choice *c = context;
    const kz_step *s = &c->params->program->steps[c->step];
    kz_gpu *gpu = c->params->gpu;
    if (c->layer.task.first && !(fastest && kz_lineup_run(c->lineup, c->step - 1, &c->first, true)))
        s[-1].run(gpu, &c->first);
    s->run(gpu, &c->layer.task);
}

static void begin_trial(struct choice *c)
{
    const kz_lineup_params *p = c->params;
    c->trial = (kz_trial){.gpu = p->gpu,
                          .arena = p->arena,
                          .arena_bytes = p->program->arena_bytes,
                          .input = p->input,
                          .run = run_program,
                          .context = c,
                          .own = c->layer.task,
                          .theirs = with_weights(c->lineup, c->step, &c->layer.task)};
}

static bool may_enter(const struct choice *c, const struct member *m)
{
    return could_compute(m->table, &c->params->program->steps[c->step]);
}

/* An engine that can't be opened is none. */
static int enter(struct choice *c, const struct member *m, const char *text)
{
    kz_trial *t = &c->trial;
    const int error =
        m->table->open_engine(&t->engines[t->count], m->library, &c->layer, text, c->lineup->log);
    if (!error) {
        t->tables[t->count] = m->table;
        memmove(c->texts[t->count], text, strlen(text) + 1);
        t->count++;
    }
    return error == KZ_ERROR_MEMORY ? error : 0;
}

static void end_trial(struct choice *c, int winner)
{
    for (int i = 0; i < c->trial.count; i++) {
        if (i == winner) {
            c->engine->opened = c->trial.engines[i];
            c->engine->table = c->trial.tables[i];
            memcpy(c->engine->text, c->texts[i], sizeof(c->engine->text));
        } else {
            c->trial.tables[i]->close_engine(&c->trial.engines[i]);
        }
    }
    c->trial.count = 0;
}

static int compare(struct choice *c)
{
    const int error = kz_trial_compare(&c->trial);
    for (int i = 0; i < c->trial.count && !error; i++)
        if (c->trial.wrong[i])
            kz_log_line(c->lineup->log, KZ_LOG_VERBOSE,
                        "%s's engine %s doesn't compute what it should: %s",
                        c->trial.tables[i]->name, c->texts[i], c->engine->layer);
    return error;
}

/* What was kept, if it still computes as our kernel does. */
static int take_kept(struct choice *c, const char *kept, bool *taken)
{
    *taken = strcmp(kept, OWN) == 0;
    if (*taken)
        return 0;
    const kz_rivals *r = c->lineup->rivals;
    int error = 0;
    begin_trial(c);
    for (int i = 0; i < r->count && !error && !c->trial.count; i++)
        if (may_enter(c, &r->members[i]))
            error = enter(c, &r->members[i], kept);
    if (!error && c->trial.count)
        error = compare(c);
    *taken = !error && c->trial.count && !c->trial.wrong[0];
    end_trial(c, *taken ? 0 : -1);
    return error;
}

/* Of one library, behind those that are there. */
static int list_of(struct choice *c, const struct member *m)
{
    const int first = c->trial.count;
    const int count =
        m->table->list(m->library, &c->layer, c->texts + first, KZ_TRIAL_MOST - first);
    int error = count < 0 ? count : 0;
    for (int i = 0; i < count && !error; i++)
        error = enter(c, m, c->texts[first + i]);
    return error;
}

static int list(struct choice *c)
{
    const kz_rivals *r = c->lineup->rivals;
    int error = 0;
    begin_trial(c);
    for (int i = 0; i < r->count && !error; i++)
        if (may_enter(c, &r->members[i]))
            error = list_of(c, &r->members[i]);
    return error;
}

static void keep(struct choice *c)
{
    const struct engine *e = c->engine;
    const char *text = e->opened ? e->text : OWN;
    kz_choices_set(c->lineup->rivals->choices, e->layer, text);
    kz_log_line(c->lineup->log, KZ_LOG_VERBOSE, "engine for %s: %s%s%s", e->layer,
                e->opened ? e->table->name : "", e->opened ? ": " : "", text);
}

/* Each engine may compile for a second. */
static void say_measuring(kz_lineup *l)
{
    if (!l->said)
        kz_log_line(l->log, KZ_LOG_INFO, "cuda    timing engines (%s), once for this GPU",
                    l->rivals->name);
    l->said = true;
}

static int measure(struct choice *c)
{
    int winner = -1;
    say_measuring(c->lineup);
    int error = list(c);
    if (!error && c->trial.count)
        error = compare(c);
    if (!error && c->trial.count)
        error = kz_trial_race(&c->trial, &winner);
    end_trial(c, error ? -1 : winner);
    return error;
}

/* After an engine has broken the device none is tried again. */
static int choose(struct choice *c)
{
    const char *kept = kz_choices_get(c->lineup->rivals->choices, c->engine->layer);
    bool taken = false;
    int error = kept ? take_kept(c, kept, &taken) : 0;
    if (!error && !taken)
        error = measure(c);
    if (!taken && error != KZ_ERROR_MEMORY)
        keep(c);
    return error;
}

/* ---- open ---- */

static int find_engine(const kz_lineup *l, const char *layer)
{
    for (int i = 0; i < l->n_engines; i++)
        if (strcmp(l->engines[i].layer, layer) == 0)
            return i;
    return -1;
}

static int choose_step(kz_lineup *l, const kz_lineup_params *p, int step)
{
    struct choice *c = kz_alloc(1, sizeof(*c));
    struct engine *fresh = &l->engines[l->n_engines];
    int error = 0;
    if (!c)
        return KZ_ERROR_MEMORY;
    *c = (struct choice){.lineup = l, .params = p, .step = step, .engine = fresh};
    c->layer = layer_of(p, &p->program->steps[step]);
    if (p->program->steps[step].conv.first) {
        c->first = layer_of(p, &p->program->steps[step - 1]).task;
        c->layer.task.first = &c->first;
    }
    if (write_layer(fresh->layer, &c->layer)) {
        l->of_step[step] = find_engine(l, fresh->layer);
        if (l->of_step[step] < 0) {
            l->of_step[step] = l->n_engines++;
            error = choose(c);
        }
    }
    kz_free(c);
    return error;
}

static int choose_all(kz_lineup *l, const kz_lineup_params *p)
{
    int error = upload_weights(l, p->graph);
    for (int i = 0; i < p->program->n_steps && !error; i++)
        if (is_rivalled(l->rivals, &p->program->steps[i])) {
            error = choose_step(l, p, i);
            /* At once: measuring takes long, and somebody may end it. */
            kz_choices_save(l->rivals->choices, l->log);
        }
    return error;
}

static int alloc_steps(kz_lineup *l)
{
    const size_t steps = (size_t)l->program->n_steps;
    l->engines = kz_alloc(steps, sizeof(*l->engines));
    l->of_step = kz_alloc(steps, sizeof(*l->of_step));
    l->offset = kz_alloc(steps, sizeof(*l->offset));
    if (!l->engines || !l->of_step || !l->offset)
        return KZ_ERROR_MEMORY;
    for (int i = 0; i < l->program->n_steps; i++) {
        l->of_step[i] = -1;
        l->offset[i] = l->bytes;
        if (has_weights(l->rivals, &l->program->steps[i]))
            l->bytes += weight_bytes(&l->program->steps[i].conv);
    }
    return 0;
}

static bool is_empty(const kz_lineup *l)
{
    for (int i = 0; i < l->n_engines; i++)
        if (l->engines[i].opened)
            return false;
    return true;
}

static bool is_any_rivalled(const kz_rivals *r, const kz_program *program)
{
    for (int i = 0; i < program->n_steps; i++)
        if (is_rivalled(r, &program->steps[i]))
            return true;
    return false;
}

int kz_lineup_open(kz_lineup **lineup, kz_rivals *rivals, const kz_lineup_params *params,
                   kz_log *log)
{
    *lineup = NULL;
    if (!rivals || !is_any_rivalled(rivals, params->program))
        return 0;
    kz_lineup *l = *lineup = kz_alloc(1, sizeof(*l));
    int error = KZ_ERROR_MEMORY;
    if (l) {
        *l = (kz_lineup){
            .rivals = rivals, .gpu = params->gpu, .log = log, .program = params->program};
        error = alloc_steps(l);
        if (!error)
            error = choose_all(l, params);
    }
    if (error || is_empty(l))
        kz_lineup_close(lineup);
    if (error == KZ_ERROR_FAILED)
        return kz_fail(log, error, "cuda: choosing among engines (%s): %s", rivals->name,
                       kz_gpu_error(params->gpu));
    if (error)
        kz_log_line(log, KZ_LOG_VERBOSE, "no memory to choose among engines (%s)", rivals->name);
    return 0;
}

void kz_lineup_close(kz_lineup **lineup)
{
    kz_lineup *l = *lineup;
    if (!l)
        return;
    for (int i = 0; i < l->n_engines; i++)
        if (l->engines[i].opened)
            l->engines[i].table->close_engine(&l->engines[i].opened);
    kz_gpu_free(l->gpu, l->weights);
    kz_free(l->engines);
    kz_free(l->of_step);
    kz_free(l->offset);
    kz_free(l);
    *lineup = NULL;
}

/* ---- run ---- */

static struct engine *engine_of(const kz_lineup *l, int step, bool whole)
{
    struct engine *e = l && l->of_step[step] >= 0 ? &l->engines[l->of_step[step]] : NULL;
    const bool there = e && e->opened && !e->failed;
    return there && (whole || e->table->same_bits) ? e : NULL;
}

/* It stays open until the lineup is closed: it may be at work still, for layers before this one,
 * and in a graph that was captured of them. */
static void leave(kz_lineup *l, struct engine *e)
{
    kz_log_line(l->log, KZ_LOG_WARNING,
                "%s's engine %s has failed: our own kernel goes on, with other last bits",
                e->table->name, e->text);
    e->failed = true;
    l->left++;
}

bool kz_lineup_run(kz_lineup *l, int step, const kz_conv_task *task, bool whole)
{
    struct engine *e = engine_of(l, step, whole);
    if (!e)
        return false;
    const kz_rival_table *table = e->table;
    const kz_conv_task theirs = table->own_weights ? *task : with_weights(l, step, task);
    if (table->run(e->opened, l->gpu, &theirs) == 0)
        return true;
    /* Perhaps it can't be captured, and no more than that. */
    if (kz_gpu_spoil_capture(l->gpu))
        return true;
    leave(l, e);
    return false;
}

int kz_lineup_left(const kz_lineup *l)
{
    return l ? l->left : 0;
}

bool kz_lineup_joins(const kz_lineup *l, int step)
{
    const struct engine *e = engine_of(l, step, true);
    return e && e->table == &kz_rival_tail;
}

const char *kz_lineup_kernel(const kz_lineup *l, int step, bool whole)
{
    const struct engine *e = engine_of(l, step, whole);
    return e ? e->table->name : NULL;
}

size_t kz_lineup_memory(const kz_lineup *l)
{
    return l ? l->bytes : 0;
}

/* Whose bits a step has, where they aren't those of the program's kernel: NULL, also where the step
 * behind it computes it with these. */
static const struct engine *other_bits_of(const kz_lineup *l, int step)
{
    const struct engine *e = engine_of(l, step, true);
    const bool later = l && step + 1 < l->program->n_steps && kz_lineup_joins(l, step + 1);
    return e && !later && !e->table->same_bits ? e : NULL;
}

bool kz_lineup_differs(const kz_lineup *l)
{
    bool differs = false;
    for (int i = 0; l && i < l->program->n_steps; i++)
        differs = differs || other_bits_of(l, i);
    return differs;
}

static void add_engines(const kz_lineup *l, kz_digest *digest)
{
    for (int i = 0; l && i < l->program->n_steps; i++) {
        const struct engine *e = other_bits_of(l, i);
        if (e)
            kz_digest_add(digest, &i, sizeof(i));
        if (e)
            kz_digest_add(digest, e->text, strlen(e->text) + 1);
    }
}

char *kz_lineup_identity(const kz_rivals *rivals, const kz_lineup *head, const kz_lineup *tail)
{
    char text[KZ_DIGEST_TEXT];
    kz_digest *digest;
    if (kz_digest_open(&digest))
        return NULL;
    add_engines(head, digest);
    kz_digest_add(digest, "", 1);
    add_engines(tail, digest);
    kz_digest_text(digest, text);
    kz_digest_close(&digest);
    return kz_asprintf("%s, engines %.16s", rivals->name, text);
}

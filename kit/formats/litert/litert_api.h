// The part of LiteRT's C interface that the runner calls.
//
// The wheel has no headers, so the used functions are declared here; names, parameters and the
// layout of the two structures are those of LiteRT 2.3, https://github.com/google-ai-edge/LiteRT,
// folder litert/c. Functions have changed between releases: the runner refuses others.
#pragma once

#include <cstddef>
#include <cstdint>

constexpr const char* kLiteRtVersion = "2.3.0";

extern "C" {

// Handles.
struct LiteRtEnv;
struct LiteRtModel;
struct LiteRtSignature;
struct LiteRtSubgraph;
struct LiteRtTensor;
struct LiteRtOptions;
struct LiteRtOpaque;  // options of a component, as text
struct LiteRtCompiled;
struct LiteRtBuffer;
struct LiteRtProfiler;

using LiteRtStatus = int;  // 0 for success
constexpr int kLiteRtCpu = 1;  // a bit of a set of accelerators
constexpr size_t kLiteRtMaxRank = 8;

// Settings of the environment.
constexpr int kLiteRtRegisteredAccelerators = 24;
constexpr int kLiteRtMinLogSeverity = 25;
constexpr int kLiteRtLogErrors = 3;

struct LiteRtInteger {
  int type = 2;  // of LiteRtAny: a whole number
  int64_t value;
};

struct LiteRtSetting {
  int tag;
  LiteRtInteger value;
};
static_assert(sizeof(LiteRtSetting) == 24, "LiteRtSetting is not LiteRT's");

// Element type and shape.
struct LiteRtTensorType {
  int element;
  unsigned rank : 7;
  unsigned has_strides : 1;
  int32_t sides[kLiteRtMaxRank];
  uint32_t strides[kLiteRtMaxRank];
};
static_assert(sizeof(LiteRtTensorType) == 72, "LiteRtTensorType is not LiteRT's");

// Bits of the types of events that are operators: those of the interpreter, and two kinds of those
// of a delegate. XNNPACK reports the second.
constexpr int kLiteRtOperatorEvents = 1 << 1 | 1 << 2 | 1 << 3;
constexpr const char* kLiteRtFirstEvent = "LiteRT::Run[buffer registration]";  // of an inference

struct LiteRtEvent {
  const char* tag;  // belongs to the profiler
  int type;
  uint64_t start_us;
  uint64_t elapsed_us;
  size_t memory[6];
  uint64_t index;  // of the operator, in the interpreter or the delegate
  uint64_t subgraph;
  int source;
};
static_assert(offsetof(LiteRtEvent, index) == 80, "LiteRtEvent is not LiteRT's");

LiteRtStatus LiteRtCreateEnvironment(int count, const LiteRtSetting* settings, LiteRtEnv** out);
LiteRtStatus LiteRtCreateModelFromBuffer(LiteRtEnv*, const void* content, size_t bytes,
                                         LiteRtModel** out);
LiteRtStatus LiteRtGetModelMetadata(LiteRtModel*, const char* name, const void** content,
                                    size_t* bytes);
LiteRtStatus LiteRtGetModelSubgraph(LiteRtModel*, size_t index, LiteRtSubgraph** out);
LiteRtStatus LiteRtGetNumModelSignatures(LiteRtModel*, size_t* out);
LiteRtStatus LiteRtGetModelSignature(LiteRtModel*, size_t index, LiteRtSignature** out);
LiteRtStatus LiteRtGetSignatureSubgraph(LiteRtSignature*, LiteRtSubgraph** out);
LiteRtStatus LiteRtGetNumSubgraphInputs(LiteRtSubgraph*, size_t* out);
LiteRtStatus LiteRtGetNumSubgraphOutputs(LiteRtSubgraph*, size_t* out);
LiteRtStatus LiteRtGetSubgraphInput(LiteRtSubgraph*, size_t index, LiteRtTensor** out);
LiteRtStatus LiteRtGetSubgraphOutput(LiteRtSubgraph*, size_t index, LiteRtTensor** out);
LiteRtStatus LiteRtGetRankedTensorType(LiteRtTensor*, LiteRtTensorType* out);

LiteRtStatus LiteRtCreateOptions(LiteRtOptions** out);
LiteRtStatus LiteRtSetOptionsHardwareAccelerators(LiteRtOptions*, int accelerators);
LiteRtStatus LiteRtCreateOpaqueOptions(const char* component, void* text, void (*free)(void*),
                                       LiteRtOpaque** out);
LiteRtStatus LiteRtAddOpaqueOptions(LiteRtOptions*, LiteRtOpaque*);

LiteRtStatus LiteRtCreateCompiledModel(LiteRtEnv*, LiteRtModel*, LiteRtOptions*,
                                       LiteRtCompiled** out);
LiteRtStatus LiteRtCreateTensorBufferFromHostMemory(const LiteRtTensorType*, void* memory,
                                                    size_t bytes, void (*free)(void*),
                                                    LiteRtBuffer** out);
LiteRtStatus LiteRtRunCompiledModel(LiteRtCompiled*, size_t signature, size_t input_count,
                                    LiteRtBuffer** inputs, size_t output_count,
                                    LiteRtBuffer** outputs);

LiteRtStatus LiteRtCompiledModelGetProfiler(LiteRtCompiled*, LiteRtProfiler** out);
LiteRtStatus LiteRtStartProfiler(LiteRtProfiler*);
LiteRtStatus LiteRtStopProfiler(LiteRtProfiler*);
LiteRtStatus LiteRtResetProfiler(LiteRtProfiler*);
LiteRtStatus LiteRtGetNumProfilerEvents(LiteRtProfiler*, int* out);
LiteRtStatus LiteRtGetProfilerEvents(LiteRtProfiler*, int count, LiteRtEvent* out);

}  // extern "C"

// The part of ONNX Runtime's C interface that the runner calls.
//
// The wheels have no headers. The interface is a table of function pointers whose order never
// changes: functions are only added at its end. So a few names and their positions suffice;
// https://onnxruntime.ai/docs/api/c/struct_ort_api.html lists them in order.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

struct OrtStatus;
struct OrtEnv;
struct OrtSession;
struct OrtSessionOptions;
struct OrtValue;
struct OrtAllocator;
struct OrtMemoryInfo;
struct OrtTensorInfo;  // OrtTensorTypeAndShapeInfo

constexpr uint32_t kOrtApiVersion = 21;  // version of the table below
constexpr int kOrtLogError = 3;
constexpr int kOrtArena = 0;
constexpr int kOrtDefaultMemory = 0;

struct OrtApi {
  void* before_2[2];
  const char* (*GetErrorMessage)(const OrtStatus*);
  OrtStatus* (*CreateEnv)(int level, const char* id, OrtEnv** out);
  void* before_6[2];
  OrtStatus* (*DisableTelemetryEvents)(const OrtEnv*);
  OrtStatus* (*CreateSession)(const OrtEnv*, const char* path, const OrtSessionOptions*,
                              OrtSession** out);
  void* before_9[1];
  OrtStatus* (*Run)(OrtSession*, const void* run_options, const char* const* input_names,
                    const OrtValue* const* inputs, size_t input_count,
                    const char* const* output_names, size_t output_count, OrtValue** outputs);
  OrtStatus* (*CreateSessionOptions)(OrtSessionOptions** out);
  void* before_14[3];
  OrtStatus* (*EnableProfiling)(OrtSessionOptions*, const char* prefix);
  void* before_22[7];
  OrtStatus* (*SetSessionLogSeverityLevel)(OrtSessionOptions*, int level);
  void* before_24[1];
  OrtStatus* (*SetIntraOpNumThreads)(OrtSessionOptions*, int count);
  OrtStatus* (*SetInterOpNumThreads)(OrtSessionOptions*, int count);
  void* before_30[4];
  OrtStatus* (*SessionGetInputCount)(const OrtSession*, size_t* out);
  OrtStatus* (*SessionGetOutputCount)(const OrtSession*, size_t* out);
  void* before_36[4];
  OrtStatus* (*SessionGetInputName)(const OrtSession*, size_t index, OrtAllocator*, char** out);
  OrtStatus* (*SessionGetOutputName)(const OrtSession*, size_t index, OrtAllocator*, char** out);
  void* before_49[11];
  OrtStatus* (*CreateTensorWithDataAsOrtValue)(const OrtMemoryInfo*, void* data, size_t bytes,
                                               const int64_t* shape, size_t sides, int type,
                                               OrtValue** out);
  void* before_51[1];
  OrtStatus* (*GetTensorMutableData)(OrtValue*, void** out);
  void* before_60[8];
  OrtStatus* (*GetTensorElementType)(const OrtTensorInfo*, int* out);
  OrtStatus* (*GetDimensionsCount)(const OrtTensorInfo*, size_t* out);
  OrtStatus* (*GetDimensions)(const OrtTensorInfo*, int64_t* sides, size_t count);
  void* before_65[2];
  OrtStatus* (*GetTensorTypeAndShape)(const OrtValue*, OrtTensorInfo** out);
  void* before_69[3];
  OrtStatus* (*CreateCpuMemoryInfo)(int allocator, int memory, OrtMemoryInfo** out);
  void* before_78[8];
  OrtStatus* (*GetAllocatorWithDefaultOptions)(OrtAllocator** out);
  void* before_93[14];
  void (*ReleaseStatus)(OrtStatus*);
  void* before_96[2];
  void (*ReleaseValue)(OrtValue*);
  void* before_99[2];
  void (*ReleaseTensorTypeAndShapeInfo)(OrtTensorInfo*);
  void (*ReleaseSessionOptions)(OrtSessionOptions*);
  void* before_110[9];
  OrtStatus* (*SessionEndProfiling)(OrtSession*, OrtAllocator*, char** path);
  void* before_130[19];
  OrtStatus* (*AddSessionConfigEntry)(OrtSessionOptions*, const char* key, const char* value);
};

struct OrtApiBase {
  const OrtApi* (*GetApi)(uint32_t version);
  const char* (*GetVersionString)();
};

}  // extern "C"

#define KIT_ORT_SLOT(name, slot) \
  static_assert(offsetof(OrtApi, name) == (slot) * sizeof(void*), #name " is not in its place")
KIT_ORT_SLOT(GetErrorMessage, 2);
KIT_ORT_SLOT(DisableTelemetryEvents, 6);
KIT_ORT_SLOT(Run, 9);
KIT_ORT_SLOT(EnableProfiling, 14);
KIT_ORT_SLOT(SetSessionLogSeverityLevel, 22);
KIT_ORT_SLOT(SetIntraOpNumThreads, 24);
KIT_ORT_SLOT(SessionGetInputCount, 30);
KIT_ORT_SLOT(SessionGetInputName, 36);
KIT_ORT_SLOT(CreateTensorWithDataAsOrtValue, 49);
KIT_ORT_SLOT(GetTensorMutableData, 51);
KIT_ORT_SLOT(GetTensorElementType, 60);
KIT_ORT_SLOT(GetDimensions, 62);
KIT_ORT_SLOT(GetTensorTypeAndShape, 65);
KIT_ORT_SLOT(CreateCpuMemoryInfo, 69);
KIT_ORT_SLOT(GetAllocatorWithDefaultOptions, 78);
KIT_ORT_SLOT(ReleaseStatus, 93);
KIT_ORT_SLOT(ReleaseValue, 96);
KIT_ORT_SLOT(ReleaseTensorTypeAndShapeInfo, 99);
KIT_ORT_SLOT(SessionEndProfiling, 110);
KIT_ORT_SLOT(AddSessionConfigEntry, 130);
#undef KIT_ORT_SLOT

/// Every text key of RFC 7143 sections 12 and 13, of RFC 7144 and of RFC 7145, as one table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace holdfast::initiator {

/// The keys we know, in the order in which we offer them.
enum class KeyId : std::uint8_t {
    InitiatorName,
    InitiatorAlias,
    TargetName,
    SessionType,
    TargetAlias,
    TargetAddress,
    TargetPortalGroupTag,
    SendTargets,
    AuthMethod,
    ChapA,
    ChapI,
    ChapC,
    ChapN,
    ChapR,
    HeaderDigest,
    DataDigest,
    MaxRecvDataSegmentLength,
    MaxConnections,
    InitialR2T,
    ImmediateData,
    MaxBurstLength,
    FirstBurstLength,
    MaxOutstandingR2T,
    DefaultTime2Wait,
    DefaultTime2Retain,
    DataPDUInOrder,
    DataSequenceInOrder,
    ErrorRecoveryLevel,
    TaskReporting,
    ProtocolLevel,
    NodeArchitecture,
    IFMarker,
    OFMarker,
    IFMarkInt,
    OFMarkInt,
    RdmaExtensions,
    InitiatorRecvDataSegmentLength,
    TargetRecvDataSegmentLength,
    MaxOutstandingUnexpectedPDUs,
    MaxAHSLength,
    TaggedBufferForSolicitedDataOnly,
    ISerHelloRequired,
    Unknown,  ///< Any other name. Not in the table.
};
inline constexpr std::size_t kKeyCount = static_cast<std::size_t>(KeyId::Unknown);

/// The type of a value. Section 6.1.
enum class KeyKind : std::uint8_t {
    Number,
    Boolean,
    List,       ///< One of a list is chosen.
    Name,       ///< iSCSI-name-value.
    LocalName,  ///< UTF-8 for display.
    Address,    ///< Section 13.8.
    Tag,        ///< Binary of 16 bits.
    Text,
    Binary,
};

/// How a result comes about. Section 13.
enum class ResultFunction : std::uint8_t { Declared, Minimum, Maximum, And, Or, FirstSupported };

/// When a key may be used. Sections 12 and 13.
enum class KeyUse : std::uint8_t {
    Security,         ///< Security stage only.
    LeadingOnly,      ///< LO: login of the first connection.
    InitializeOnly,   ///< IO: any login.
    All,              ///< Login and full feature phase.
    FullFeatureOnly,  ///< FFPO.
};

/// Who may send a key.
enum class KeySender : std::uint8_t { Initiator, Target, Both };

/// Whether a key belongs to the whole session or to one connection.
enum class KeyScope : std::uint8_t { Session, Connection };

/// Which document made a key: RFC 3720 keys must be understood by every target, later ones may be
/// answered NotUnderstood (NEG-13), obsolete ones are answered Reject (NEG-23).
enum class KeyOrigin : std::uint8_t { Rfc3720, Later, Obsolete };

/// One row of the table.
struct KeySpec {
    KeyId id = KeyId::Unknown;
    std::string_view name;
    KeyKind kind = KeyKind::Text;
    ResultFunction result = ResultFunction::Declared;
    KeyUse use = KeyUse::All;
    KeySender sender = KeySender::Both;
    KeyScope scope = KeyScope::Session;
    KeyOrigin origin = KeyOrigin::Rfc3720;
    bool any_stage = false;  ///< Also in the security stage.
    bool irrelevant_in_discovery = false;
    bool repeatable = false;  ///< TargetAddress only.
    std::uint32_t least = 0;  ///< Range of a Number, both ends included.
    std::uint32_t most = 0;
    std::uint32_t standard = 0;  ///< The default: a number, or 0 No and 1 Yes.
};

/// The table, sorted by KeyId.
[[nodiscard]] std::span<const KeySpec, kKeyCount> all_keys() noexcept;

/// The row of a key other than Unknown.
[[nodiscard]] const KeySpec& spec_of(KeyId id) noexcept;

/// Unknown when the table has no such name. Case counts.
[[nodiscard]] KeyId key_of(std::string_view name) noexcept;

}  // namespace holdfast::initiator

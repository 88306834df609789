//! Numbers to bytes and back.

use super::{ALL, Quant};
use crate::rng::Rng;

#[test]
fn what_is_stored_comes_back_as_near_as_its_type_allows() {
    let mut rng = Rng::new(4);
    let numbers: Vec<f32> = (0..256).map(|_| rng.normal()).collect();
    let top = numbers.iter().fold(0.0_f32, |top, x| top.max(x.abs()));
    for (quant, error) in [(Quant::F32, 0.0), (Quant::F16, 0.002), (Quant::Bf16, 0.01), (Quant::Q8_0, 0.02), (Quant::Q4_0, top / 7.0)] {
        let bytes = quant.encode(&numbers).unwrap();
        assert_eq!(bytes.len() as u64, quant.bytes(256));
        for (x, y) in numbers.iter().zip(quant.decode(&bytes).unwrap()) {
            assert!((x - y).abs() <= error, "{quant}: {x} became {y}");
        }
    }
}

#[test]
fn zeros_stay_zeros() {
    for quant in [Quant::Q8_0, Quant::Q4_0] {
        let bytes = quant.encode(&[0.0; 64]).unwrap();
        assert!(quant.decode(&bytes).unwrap().iter().all(|x| x.abs() < f32::MIN_POSITIVE), "{quant}");
    }
}

#[test]
fn half_a_block_and_types_without_an_encoder_are_refused() {
    assert!(Quant::Q8_0.encode(&[1.0; 33]).is_err());
    assert!(Quant::Q6K.encode(&[1.0; 256]).is_err());
    assert!(Quant::Q6K.decode(&[0; 210]).is_err());
}

#[test]
fn random_weights_are_small_where_they_can_be_read_and_differ_between_seeds() {
    for quant in ALL {
        let fill = |seed| {
            let mut bytes = vec![0; usize::try_from(quant.bytes(1024)).unwrap()];
            quant.random(&mut Rng::new(seed), &mut bytes);
            bytes
        };
        assert_eq!(fill(1), fill(1));
        assert_ne!(fill(1), fill(2), "{quant}");
        if let Ok(numbers) = quant.decode(&fill(3)) {
            assert_eq!(numbers.len(), 1024);
            assert!(numbers.iter().all(|x| x.abs() < 0.2), "{quant}");
        }
    }
}

#[test]
fn names_and_numbers_lead_back_to_the_type() {
    for quant in ALL {
        assert_eq!(quant.name().to_ascii_uppercase().parse::<Quant>().unwrap(), quant);
        assert_eq!(Quant::from_id(quant.id()), Some(quant));
    }
    assert!("q9".parse::<Quant>().unwrap_err().to_string().contains("q8_0"));
}
